<?php
// PHP's extension memcached, driven: php memcached.php PORT PROTOCOL

require __DIR__ . '/driver.php';

$server = "127.0.0.1:$argv[1]";
$memcached = new Memcached();
$memcached->setOption(Memcached::OPT_BINARY_PROTOCOL, $argv[2] === 'binary');
if (getenv('CLIENT_USER')) {
    $memcached->setSaslAuthData(getenv('CLIENT_USER'), getenv('CLIENT_SECRET'));
}
$memcached->addServer('127.0.0.1', (int) $argv[1]);
$memcached->setOption(Memcached::OPT_COMPRESSION, false);

// What was found, unless the library says that something is wrong.
$checked = function ($found) use ($memcached) {
    $codes = [Memcached::RES_SUCCESS, Memcached::RES_NOTFOUND, Memcached::RES_END];
    if (in_array($memcached->getResultCode(), $codes)) {
        return $found;
    }
    throw new RuntimeException($memcached->getResultMessage());
};

drive([
    'push' => function ($queue, $flags, $body) use ($memcached) {
        $memcached->setOption(Memcached::OPT_USER_FLAGS, (int) $flags);
        return done($memcached->set($queue, base64_decode($body)));
    },
    'pop' => function ($queue) use ($memcached, $checked) {
        $found = $checked($memcached->get($queue, null, Memcached::GET_EXTENDED));
        return $found ? message($found['value'], $found['flags']) : ['none'];
    },
    'popeach' => fn(...$queues) =>
        found(array_map('base64_encode', $memcached->getMulti($queues))),
    'delete' => fn($queue) => done($memcached->delete($queue)),
    'stats' => fn() => found($memcached->getStats('queue')[$server]),
]);
