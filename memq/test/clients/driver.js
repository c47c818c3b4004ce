// The clients of Node, driven: node driver.js PORT PROTOCOL LIBRARY
//
// drivers.py says what comes in and goes out.  Each library is told to wait longer than
// any answer takes, to keep one connection, and to try nothing twice.

'use strict';

const fs = require('node:fs');
const net = require('node:net');
const readline = require('node:readline');
const { promisify } = require('node:util');

const [port, , library] = process.argv.slice(2);
const server = `127.0.0.1:${port}`;
const PATIENCE = Number(process.env.PATIENCE);

const { CLIENT_CA, CLIENT_CERTIFICATE, CLIENT_KEY } = process.env;
// What a library speaks TLS with, if it is to do that.
const secured = CLIENT_CA ? {
  tls: {
    ca: fs.readFileSync(CLIENT_CA),
    cert: fs.readFileSync(CLIENT_CERTIFICATE),
    key: fs.readFileSync(CLIENT_KEY),
  },
} : {};

// What goes wrong is on standard error.
console.log = console.error;

// Return the reply to "stats queue" on a connection of its own.
async function statsQueue() {
  const socket = net.connect(Number(port), '127.0.0.1');
  socket.write('stats queue\r\nquit\r\n');
  let text = '';
  for await (const part of socket) text += part;
  return Object.fromEntries(
    [...text.matchAll(/^STAT (\S+) (\S+)\r$/gm)].map((found) => found.slice(1)));
}

// Return a message as a get of one key in each of several queues.
async function each(queues, pop) {
  const found = {};
  for (const queue of queues) {
    const message = await pop(queue);
    if (message) found[queue] = message.body;
  }
  return found;
}

// Binary, and bytes as they are; it can send no flags but 0.
function memjs() {
  const client = require('memjs').Client.create(server, {
    timeout: PATIENCE, conntimeout: PATIENCE, retries: 1, logger: console,
    username: process.env.CLIENT_USER, password: process.env.CLIENT_SECRET,
  });
  const pop = async (queue) => {
    const { value, flags } = await client.get(queue);
    return value === null ? null : { flags: flags.readUInt32BE(0), body: value };
  };
  return {
    push: (queue, flags, body) => client.set(queue, body, {}),
    pop,
    popEach: (queues) => each(queues, pop),
    delete: (queue) => client.delete(queue),
    stats: () => new Promise((resolve, reject) => client.statsWithKey(
      'queue', (error, from, stats) => (error ? reject(error) : resolve(stats)))),
  };
}

// Flags are types: 0 for a Buffer here, 1 for a string, 2 for a number.
const encode = [(body) => body, (body) => body.toString(), (body) => Number(body)];

function decode(value) {
  if (value === undefined) return null;
  // Nothing comes as a string, whatever it was.
  if (Buffer.isBuffer(value) || value === '') {
    return { flags: 0, body: Buffer.from(value) };
  }
  return { flags: typeof value === 'string' ? 1 : 2, body: Buffer.from(`${value}`) };
}

function memcached() {
  const Memcached = require('memcached');
  const client = new Memcached(server, {
    poolSize: 1, timeout: PATIENCE * 1000, idle: PATIENCE * 1000,
    retries: 0, failures: 1000, retry: 1, reconnect: 1,
  });
  const call = (name) => promisify(client[name].bind(client));
  const pop = async (queue) => decode(await call('get')(queue));
  return {
    push: (queue, flags, body) => call('set')(queue, encode[flags](body), 0),
    pop,
    popEach: async (queues) => {
      const found = Object.entries(await call('getMulti')(queues));
      return Object.fromEntries(
        found.map(([queue, value]) => [queue, Buffer.from(value)]));
    },
    delete: (queue) => call('del')(queue),
    // Its stats are those of no topic, or of one that memcached has.
    stats: statsQueue,
  };
}

function memcacheClient() {
  const { MemcacheClient } = require('memcache-client');
  const client = new MemcacheClient({
    server: { server, maxConnections: 1 }, cmdTimeout: PATIENCE * 1000, lifetime: 0,
    ...secured,
  });
  const pop = async (queue) => decode((await client.get(queue))?.value);
  return {
    push: async (queue, flags, body) => {
      const reply = await client.set(queue, encode[flags](body));
      return reply[0] === 'STORED';
    },
    pop,
    popEach: async (queues) => {
      const found = Object.entries(await client.get(queues));
      return Object.fromEntries(
        found.map(([queue, { value }]) => [queue, Buffer.from(value)]));
    },
    delete: (queue) => client.delete(queue).then(
      (reply) => reply[0] === 'DELETED',
      (error) => {
        if (error.message !== 'NOT_FOUND') throw error;
        return false;
      }),
    stats: async () => Object.fromEntries((await client.cmd('stats queue')).STAT || []),
  };
}

const libraries = { memjs, memcached, 'memcache-client': memcacheClient };
const client = libraries[library]();

const done = (yes) => [yes ? 'yes' : 'no'];

const commands = {
  push: async (queue, flags, body) =>
    done(await client.push(queue, Number(flags), Buffer.from(body, 'base64'))),
  pop: async (queue) => {
    const message = await client.pop(queue);
    return message
      ? ['message', message.flags, message.body.toString('base64')] : ['none'];
  },
  popeach: async (...queues) => {
    const found = Object.entries(await client.popEach(queues));
    return ['found', ...found.flatMap(([name, body]) => [name, body.toString('base64')])];
  },
  delete: async (queue) => done(await client.delete(queue)),
  stats: async () => ['found', ...Object.entries(await client.stats()).flat()],
};

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [name, ...words] = line.split(' ');
    let reply;
    try {
      reply = await commands[name](...words);
    } catch (error) {
      reply = ['error', `${error}`.replace(/\s+/g, ' ')];
    }
    process.stdout.write(`${reply.join(' ')}\n`);
  }
  process.exit();
}

main();
