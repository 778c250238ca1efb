# GxyClock.pm: a server whose clock a test can set: that of test/lib/clock, which is preloaded into the server. The time since
# the machine's start cannot be set and stays as it is.
package GxyClock;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use FindBin;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(start_with_clock set_clock);

# The file with the difference, by server.
my %difference;

# Starts a server whose clock differs by so many seconds, and can be set.
sub start_with_clock
{
	my ($node, $ahead) = @_;
	my $library = $node->basedir . '/clock.so';
	my $file = $node->basedir . '/difference';

	system_or_bail('cc', '-shared', '-fPIC', '-o', $library, "$FindBin::Bin/../lib/clock/clock.c", '-ldl');
	append_to_file($file, pack('q', $ahead // 0));
	$difference{ $node->name } = $file;

	local %ENV = (%ENV, LD_PRELOAD => $library, CLOCK_DIFFERENCE => $file);

	$node->start;
	return;
}

# Sets the clock of a server to seconds after that of the machine.
sub set_clock
{
	my ($node, $seconds) = @_;

	open my $file, '+<', $difference{ $node->name } or die $!;
	syswrite $file, pack('q', $seconds) or die $!;
	close $file;
	return;
}

1;
