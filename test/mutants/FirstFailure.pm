# FirstFailure.pm: ends a test file at its first failure, which is all that a planted mutant needs. Loaded by PERL5OPT.
package FirstFailure;

use strict;
use warnings;

use Test::Builder;

my $ok = Test::Builder->can('ok');

no warnings 'redefine';
*Test::Builder::ok = sub {
	my ($self, @arguments) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $passed = $self->$ok(@arguments);

	$self->BAIL_OUT('the first failure') unless $passed || $self->in_todo;
	return $passed;
};

1;
