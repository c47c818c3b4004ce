<?php
// PHP's extension memcache, driven: php memcache.php PORT PROTOCOL

require __DIR__ . '/driver.php';

$port = (int) $argv[1];
// The extension calls text "ascii".
ini_set('memcache.protocol', $argv[2] === 'binary' ? 'binary' : 'ascii');
$memcache = new Memcache();
$memcache->connect('127.0.0.1', $port);
// Its getStats() refuses names that memcached does not have, such as "queue".
$socket = fsockopen('127.0.0.1', $port);

drive([
    'push' => fn($queue, $flags, $body) =>
        done($memcache->set($queue, base64_decode($body), (int) $flags, 0)),
    'pop' => function ($queue) use ($memcache) {
        $flags = 0;
        $body = $memcache->get($queue, $flags);
        return message($body, (int) $flags);
    },
    'popeach' => fn(...$queues) =>
        found(array_map('base64_encode', $memcache->get($queues) ?: [])),
    'delete' => fn($queue) => done($memcache->delete($queue)),
    'stats' => fn() => found(statsQueue($socket)),
]);
