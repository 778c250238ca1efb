# doc/reference.md says what the catalog says: functions, relations, columns and settings, with their comments.
#
# The document's lists are made anew on a server of their own, and compared.

use strict;
use warnings FATAL => 'all';

use Test::More;

my $report = `doc/reference --check 2>&1`;

is($?, 0, 'the lists of doc/reference.md are those of the catalog') or diag($report);

# What has no comment would be an empty cell.
open my $in, '<', 'doc/reference.md' or die "doc/reference.md: $!";
my @empty = grep { /^\| `[^|]+\|[^|]+\|\s*\|$/ } <$in>;
is("@empty", '', 'every function and column has a description');

done_testing();
