<?php
// The commands of ZendQueue's adapter for MemcacheQ, driven: php zendqueue.php PORT
//
// It sets and gets through the extension memcache, with an exptime of 15 seconds
// where it makes a queue.  It deletes and asks for "stats queue" on a second
// connection, where it reads lines until it finds the one that ends a reply.

require __DIR__ . '/driver.php';

$port = (int) $argv[1];
$memcache = new Memcache();
$memcache->connect('127.0.0.1', $port);
$socket = fsockopen('127.0.0.1', $port);

drive([
    'push' => fn($queue, $flags, $body) =>
        done($memcache->set($queue, base64_decode($body), 0, 15)),
    'pop' => fn($queue) => message($memcache->get($queue), 0),
    'popeach' => function (...$queues) use ($memcache) {
        $bodies = array_combine($queues, array_map([$memcache, 'get'], $queues));
        return found(array_map('base64_encode', array_filter($bodies, 'is_string')));
    },
    'delete' => function ($queue) use ($socket) {
        fwrite($socket, "delete $queue\r\n");
        do {
            $line = trim(fgets($socket, 1024));
        } while (!in_array($line, ['DELETED', 'NOT_FOUND'], true));
        return done($line === 'DELETED');
    },
    'stats' => fn() => found(statsQueue($socket)),
]);

$memcache->close();
fwrite($socket, "quit\r\n");
fclose($socket);
