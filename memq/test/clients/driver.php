<?php
// The loop of a driver in PHP; drivers.py says what comes in and goes out.

/** Carry out requests until there are none: $commands are functions by name. */
function drive(array $commands): void
{
    while (($line = fgets(STDIN)) !== false) {
        $words = explode(' ', rtrim($line, "\n"));
        $command = $commands[array_shift($words)];
        try {
            $reply = $command(...$words);
        } catch (RuntimeException $error) {
            $reply = ['error', $error->getMessage()];
        }
        echo implode(' ', $reply), "\n";
    }
}

/** The reply to something that was done, or not. */
function done(bool $yes): array
{
    return [$yes ? 'yes' : 'no'];
}

/** The reply to a pop; what is not a string is no message. */
function message($body, int $flags): array
{
    return is_string($body) ? ['message', $flags, base64_encode($body)] : ['none'];
}

/** The reply that is pairs of a queue and something. */
function found(array $values): array
{
    $reply = ['found'];
    foreach ($values as $queue => $value) {
        array_push($reply, $queue, $value);
    }
    return $reply;
}

/** The reply to "stats queue" on a connection of its own, line by line. */
function statsQueue($socket): array
{
    fwrite($socket, "stats queue\r\n");
    $queues = [];
    while (($line = fgets($socket, 1024)) !== false && trim($line) !== 'END') {
        [, $queue, $counts] = explode(' ', trim($line));
        $queues[$queue] = $counts;
    }
    return $queues;
}
