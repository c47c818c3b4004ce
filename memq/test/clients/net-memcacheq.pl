# The commands of Perl's Net::MemcacheQ, driven: perl net-memcacheq.pl PORT
#
# A request is one print: line and body of a set together, flags and exptime 0.
# Unlike the module, which waits for an END or STORED after whatever it sends, this
# takes DELETED and NOT_FOUND for the end of a reply as well.

use strict;
use warnings;
use FindBin;
use IO::Socket::INET;
use lib $FindBin::Bin;
use Driver;

my $socket = IO::Socket::INET->new(
    PeerAddr => '127.0.0.1',
    PeerPort => $ARGV[0],
    Proto => 'tcp',
) or die "cannot connect: $@";
binmode $socket;

# Send a request, and return the first line of the reply.
sub request {
    my ($text) = @_;
    print {$socket} $text or die "cannot send: $!";
    return line();
}

sub line {
    my $line = <$socket>;
    die "the connection ended" if !defined $line;
    $line =~ s/[\r\n]+$//;
    return $line;
}

# shift: take the message that the VALUE line tells the size of.
sub take {
    my ($queue) = @_;
    my $line = request("get $queue\r\n");
    return undef if $line eq 'END';
    my ($size) = $line =~ /^VALUE .* (\d+)$/ or die $line;
    my $body;
    die "the body ended" if read($socket, $body, $size) != $size;
    die "no end" if line() ne '' || line() ne 'END';
    return $body;
}

Driver::drive(
    push => sub {
        my ($queue, $flags, $text) = @_;
        my $body = Driver::body($text);
        my $length = length $body;
        Driver::done(request("set $queue 0 0 $length\r\n$body\r\n") eq 'STORED');
    },
    pop => sub { Driver::message(0, take($_[0])) },
    popeach => sub {
        my %bodies = map { $_, take($_) } @_;
        Driver::bodies(map { defined $bodies{$_} ? ($_, $bodies{$_}) : () } @_);
    },
    delete => sub { Driver::done(request("delete $_[0]\r\n") eq 'DELETED') },
    stats => sub {
        my @found = 'found';
        for (my $line = request("stats queue\r\n"); $line ne 'END'; $line = line()) {
            my ($queue, $counts) = $line =~ /^STAT (\S+) (\S+)$/ or die $line;
            push @found, $queue, $counts;
        }
        return @found;
    },
);
