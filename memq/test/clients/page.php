<?php
// A web page that pushes and pops, on the command line: php page.php PORT DIRECTORY [s]
//
// With "s" it pushes a number that grows with each visit, else it pops one.  The
// session, which keeps the number, is a file in the directory.

ini_set('session.use_cookies', '0');
ini_set('session.save_path', $argv[2]);
session_id('page');
session_start();
$memcache_obj = new Memcache;
$memcache_obj->connect('127.0.0.1', (int) $argv[1]) or die ("连接MemcacheQ服务器失败");
if (($argv[3] ?? '') == "s") {
    if (empty($_SESSION['i'])) {
        $_SESSION['i'] = 1;
    } else {
        $_SESSION['i']++;
    }
    echo "加入消息队列(入栈):".$_SESSION['i'];
    memcache_set($memcache_obj, 'test', $_SESSION['i'], 0, 0);
} else {
    /* consume a message from 'demoqueue1' */
    echo "读出消息队列(出栈)".memcache_get($memcache_obj, 'test');
}
memcache_close($memcache_obj);
