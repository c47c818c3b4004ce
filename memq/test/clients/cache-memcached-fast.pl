# Perl's Cache::Memcached::Fast, driven: perl cache-memcached-fast.pl PORT
#
# Flag 1 is how it marks a value that was a reference, and went through Storable.

use strict;
use warnings;
use Cache::Memcached::Fast;
use FindBin;
use IO::Socket::INET;
use lib $FindBin::Bin;
use Driver;

my $server = "127.0.0.1:$ARGV[0]";
my $memcached = Cache::Memcached::Fast->new({
    servers => [$server],
    connect_timeout => $ENV{PATIENCE},
    io_timeout => $ENV{PATIENCE},
    failure_timeout => 0,
    max_size => 2 << 20,
});

Driver::drive(
    push => sub {
        my ($queue, $flags, $text) = @_;
        my $body = Driver::body($text);
        Driver::done($memcached->set($queue, $flags ? \$body : $body));
    },
    pop => sub {
        my $body = $memcached->get($_[0]);
        ref $body ? Driver::message(1, $$body) : Driver::message(0, $body);
    },
    popeach => sub { Driver::bodies(%{ $memcached->get_multi(@_) }) },
    delete => sub { Driver::done($memcached->delete($_[0])) },
    # It has no stats.
    stats => sub {
        my $socket = IO::Socket::INET->new($server) or die "cannot connect: $@";
        print {$socket} "stats queue\r\nquit\r\n";
        ('found', map { /^STAT (\S+) (\S+)/ } <$socket>);
    },
);
