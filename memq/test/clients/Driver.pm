package Driver;

# The loop of a driver in Perl; drivers.py says what comes in and goes out.

use strict;
use warnings;
use MIME::Base64 qw(decode_base64 encode_base64);

# Carry out requests until there are none: %commands are functions by name.
sub drive {
    my (%commands) = @_;
    $| = 1;
    while (defined(my $line = <STDIN>)) {
        chomp $line;
        my ($name, @words) = split / /, $line, -1;
        print join(' ', $commands{$name}->(@words)), "\n";
    }
}

# A body from a request.
sub body { return decode_base64($_[0]) }

# The reply to something that was done, or not.
sub done { return $_[0] ? 'yes' : 'no' }

# The reply to a pop; what is not defined is no message.
sub message {
    my ($flags, $body) = @_;
    return defined $body ? ('message', $flags, encode_base64($body, '')) : 'none';
}

# The reply that is pairs of a queue and its body.
sub bodies {
    my (%bodies) = @_;
    return ('found', map { $_, encode_base64($bodies{$_}, '') } keys %bodies);
}

1;
