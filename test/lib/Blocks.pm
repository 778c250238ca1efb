# Blocks.pm: the fenced blocks of a Markdown file, for tests that run what the documentation shows.
#
# A comment before a block is for the test, and invisible to readers:
#
#     <!-- test: WORD... -->         how the next block is run; the words are the test's
#     <!-- test
#     SQL to run before the next block
#     -->

package Blocks;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';

our @EXPORT_OK = qw(blocks samples squeeze);

# Returns a hash for each block: file, line, language (lower case, '' if none), text, before (SQL),
# and the words as keys of {is}.
sub blocks
{
	my ($file) = @_;
	my (@blocks, %words, $before, $comment, $block);

	$before = '';
	open my $in, '<:encoding(UTF-8)', $file or die "$file: $!";
	while (my $line = <$in>)
	{
		if ($block)
		{
			if ($line =~ /^```\s*$/)
			{
				push @blocks, $block;
				undef $block;
			}
			else
			{
				$block->{text} .= $line;
			}
		}
		elsif ($comment)
		{
			if ($line =~ /^-->/) { undef $comment }
			else { $before .= $line }
		}
		elsif ($line =~ /^```(\w*)/)
		{
			$block = { file => $file, line => $., language => lc $1, text => '', before => $before, is => {%words} };
			$before = '';
			%words = ();
		}
		elsif ($line =~ /^<!-- test: (.*?) *-->/)
		{
			$words{$_} = 1 for split ' ', $1;
		}
		elsif ($line =~ /^<!-- test$/)
		{
			$comment = 1;
		}
	}
	die "$file: a block is not closed" if $block || $comment;
	return @blocks;
}

# The commands of a psql session and the output of each; none if the block is not a session.
sub samples
{
	my ($block) = @_;
	my @samples;

	for my $line (split /\n/, $block->{text})
	{
		if ($line =~ /^\w*=[#>] (.*)/)
		{
			push @samples, { command => $1, output => '' };
		}
		elsif (@samples)
		{
			$samples[-1]{output} .= "$line\n";
		}
		else
		{
			return;
		}
	}
	return @samples;
}

# The output of psql, without the width of its columns and the number of rows.
sub squeeze
{
	my ($text) = @_;

	return join "\n", map { s/[ -]+/ /gr =~ s/^ | $//gr } grep { !/^\(\d+ rows?\)$/ && /\S/ } split /\n/, $text;
}

1;
