<?php
// PHP's extension memcached, driven: php memcached.php PORT PROTOCOL

require __DIR__ . '/driver.php';

$server = "127.0.0.1:$argv[1]";
$memcached = new Memcached();
$memcached->addServer('127.0.0.1', (int) $argv[1]);
$memcached->setOption(Memcached::OPT_COMPRESSION, false);
$memcached->setOption(Memcached::OPT_BINARY_PROTOCOL, $argv[2] === 'binary');

drive([
    'push' => function ($queue, $flags, $body) use ($memcached) {
        $memcached->setOption(Memcached::OPT_USER_FLAGS, (int) $flags);
        return done($memcached->set($queue, base64_decode($body)));
    },
    'pop' => function ($queue) use ($memcached) {
        $found = $memcached->get($queue, null, Memcached::GET_EXTENDED);
        return $found ? message($found['value'], $found['flags']) : ['none'];
    },
    'popeach' => fn(...$queues) =>
        found(array_map('base64_encode', $memcached->getMulti($queues))),
    'delete' => fn($queue) => done($memcached->delete($queue)),
    'stats' => fn() => found($memcached->getStats('queue')[$server]),
]);
