# Perl's Cache::Memcached, driven: perl cache-memcached.pl PORT
#
# Flag 1 is how it marks a value that was a reference, and went through Storable.

use strict;
use warnings;
use Cache::Memcached;
use FindBin;
use lib $FindBin::Bin;
use Driver;

my $server = "127.0.0.1:$ARGV[0]";
my $memcached = Cache::Memcached->new({
    servers => [$server],
    compress_enable => 0,
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
    stats => sub {
        my $text = $memcached->stats('queue')->{hosts}{$server}{queue};
        ('found', $text =~ /^STAT (\S+) (\S+)\r$/mg);
    },
);
