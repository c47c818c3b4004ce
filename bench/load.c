/* load: closed-loop load for queue servers on this machine.
 *
 *   cc -O2 -o load load.c
 *   load -p PORT [-P memcache|binary|numbered|redis|beanstalk]
 *        [-m set|get|pair|burst]
 *        [-c CONNECTIONS] [-d OUTSTANDING] [-n OPERATIONS] [-t MILLISECONDS]
 *        [-w MICROSECONDS] [-s BYTES] [-q QUEUES] [-k NAME]
 *
 * Every connection keeps OUTSTANDING requests under way: a reply that comes in
 * lets the next request out.  One process, one thread, one epoll.  SIGTERM ends
 * it as the time does.
 *
 *   set    appends OPERATIONS messages, or as many as MILLISECONDS allow
 *   get    takes OPERATIONS messages
 *   pair   sets one and takes one, in turns, on each connection, so that the
 *          queue keeps its length; always ends with the take
 *   burst  sends OUTSTANDING sets in one go, waits for all replies, takes as many
 *          in one go, waits, and so on; always ends with the takes
 *
 * With MICROSECONDS a connection has one request under way at most, and they are
 * due at even steps.  Those that fall due while a reply is late are not sent, but
 * counted, as if they were answered together with it.  So a stall is seen by every
 * request that would have been sent meanwhile, not by one alone.
 *
 * With QUEUES above one, each operation has a queue of its own choice.  The
 * choice hangs on the operation's number alone, and a get goes through the same
 * numbers in another order.  So a get of as many as a set has stored finds every
 * queue as often as it was filled, and none of them empty.
 *
 * Every reply is looked at.  A body is a run of 64 characters that goes round
 * and starts anywhere, so its first byte tells all others.  A reply not as it
 * should be counts as an error, and the first one is shown on standard error.
 *
 * binary is memcached's binary protocol; numbered gives each request an opaque of its
 * own, where binary has 0 in all.  In a burst all but the last are quiet: sets that say
 * nothing, and gets that say nothing when the queue is empty, which none may be.
 *
 * A take from beanstalkd is reserve and delete, timed as one.  beanstalkd has its
 * default tube only: a choice of tubes would be other commands, and more of them.
 *
 * Prints one line of JSON; latencies are in microseconds.  Exit status: 0 when it
 * was printed, whatever it says, 1 when nothing could be measured, 2 for a mistake
 * on the command line.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PERIOD = 64, STALL_MS = 20000, LONGEST_LINE = 4096 };

enum verb { PUT, TAKE, DROP };
enum mode { SET, GET, PAIR, BURST };
enum outcome { PART, GOOD, EMPTY, WRONG, RESERVED };

struct buffer {
    char *bytes;
    size_t start, end, room;            /* what is in it: start to end */
};

struct request {
    uint64_t sent;                      /* nanoseconds */
    enum verb verb;
};

struct connection {
    int fd;
    struct buffer in, out;
    struct request *ring;               /* those under way, oldest first */
    unsigned oldest, newest;            /* count up; the ring's size divides them */
    bool blocked;                       /* epoll tells when there is room again */
    bool owes;                          /* the take of a set is still to go, or all
                                         * takes of a burst */
    uint64_t owed;                      /* the number of that set, or of the first */
    uint64_t due;                       /* paced: when the next request goes out */
};

/* A reply that is there as a whole: how many bytes it has, and what it says. */
struct reply {
    size_t used;
    uint64_t job;                       /* beanstalkd's name of a message */
};

struct protocol {
    const char *name;
    void (*put)(struct buffer *, uint64_t queue, const char *body);
    void (*take)(struct buffer *, uint64_t queue);
    enum outcome (*parse)(const char *, size_t, enum verb, struct reply *);
};

static int port, epoll;
static unsigned connections = 50, outstanding = 1;
static uint64_t operations = 100000, queues = 1;
static uint64_t limit = UINT64_MAX;     /* nanoseconds */
static uint64_t pace;                   /* nanoseconds; 0 for as fast as replies */
static size_t size = 100;
static enum mode mode = SET;
static const char *name = "bench";
static const struct protocol *protocol;

static char *pattern;                   /* size + PERIOD bytes */
static unsigned behind;                 /* requests of a burst that follow this one */
static uint64_t issued, finished, errors, empties, underway, began;
static uint64_t *latencies, room;
static volatile sig_atomic_t ended;

static void die(int status, const char *format, ...) {
    va_list words;
    va_start(words, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, words);
    fputc('\n', stderr);
    exit(status);
}

static void *atLeast(void *memory, size_t bytes) {
    if (!(memory = realloc(memory, bytes))) die(1, "out of memory");
    return memory;
}

static uint64_t now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

/* ---- buffers ---- */

static void makeRoom(struct buffer *b, size_t bytes) {
    if (b->start == b->end) b->start = b->end = 0;
    if (b->room - b->end >= bytes) return;
    if (b->start) {
        memmove(b->bytes, b->bytes + b->start, b->end - b->start);
        b->end -= b->start;
        b->start = 0;
    }
    if (b->room - b->end >= bytes) return;
    b->room = (b->end + bytes) * 2;
    b->bytes = atLeast(b->bytes, b->room);
}

static void add(struct buffer *b, const char *bytes, size_t count) {
    makeRoom(b, count);
    memcpy(b->bytes + b->end, bytes, count);
    b->end += count;
}

static void addLine(struct buffer *b, const char *format, ...) {
    char line[512];
    va_list words;
    va_start(words, format);
    int count = vsnprintf(line, sizeof line, format, words);
    va_end(words);
    add(b, line, (size_t)count);
}

static void addBody(struct buffer *b, const char *body) {
    add(b, body, size);
    add(b, "\r\n", 2);
}

/* ---- what replies have in common ---- */

static bool starts(const char *p, size_t n, const char *word) {
    size_t count = strlen(word);
    return n >= count && !memcmp(p, word, count);
}

/* Bytes of the line at p with its end, 0 if it is not there yet. */
static size_t lineAt(const char *p, size_t n) {
    const char *end = memchr(p, '\n', n);
    if (!end && n > LONGEST_LINE) die(1, "a reply without an end");
    return end ? (size_t)(end - p) + 1 : 0;
}

/* A body of as many bytes as the reply says, between its line and its tail. */
static enum outcome bodyAt(const char *p, size_t n, size_t line, uint64_t bytes,
                           const char *tail, struct reply *r) {
    size_t end = strlen(tail);
    r->used = line + bytes + end;
    if (n < r->used) return PART;
    const char *body = p + line;
    unsigned char phase = bytes ? (unsigned char)(body[0] - '0') : 0;
    bool good = bytes == size && phase < PERIOD &&
                !memcmp(body, pattern + phase, bytes) &&
                !memcmp(body + bytes, tail, end);
    return good ? GOOD : WRONG;
}

/* ---- memcache ---- */

static void memcachePut(struct buffer *b, uint64_t queue, const char *body) {
    addLine(b, "set %s%lu 0 0 %zu\r\n", name, queue, size);
    addBody(b, body);
}

static void memcacheTake(struct buffer *b, uint64_t queue) {
    addLine(b, "get %s%lu\r\n", name, queue);
}

static enum outcome memcacheParse(const char *p, size_t n, enum verb verb,
                                  struct reply *r) {
    if (!(r->used = lineAt(p, n))) return PART;
    if (verb == PUT) return starts(p, n, "STORED\r\n") ? GOOD : WRONG;
    if (starts(p, n, "END\r\n")) return EMPTY;
    if (!starts(p, n, "VALUE ")) return WRONG;
    const char *word = memchr(p + 6, ' ', r->used - 6);      /* behind the name */
    if (!word) return WRONG;
    char *rest;
    strtoul(word, &rest, 10);                                /* the flags */
    return bodyAt(p, n, r->used, strtoul(rest, NULL, 10), "\r\nEND\r\n", r);
}

/* ---- memcached's binary protocol ---- */

enum { HEADER = 24, FLAGS = 4 };

static void store(unsigned char *at, uint64_t value, unsigned bytes) {
    for (unsigned i = bytes; i--; value >>= 8) at[i] = (unsigned char)value;
}

static uint64_t load(const unsigned char *at, unsigned bytes) {
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) value = value << 8 | at[i];
    return value;
}

static void addPacket(struct buffer *b, int opcode, uint64_t opaque, size_t extras,
                      uint64_t queue, size_t body) {
    unsigned char header[HEADER + 8] = {0x80, (unsigned char)opcode};
    char key[256];
    int count = snprintf(key, sizeof key, "%s%lu", name, queue);
    store(header + 2, (uint64_t)count, 2);
    header[4] = (unsigned char)extras;
    store(header + 8, extras + (uint64_t)count + body, 4);
    store(header + 12, opaque, 4);
    add(b, (char *)header, HEADER + extras);
    add(b, key, (size_t)count);
}

/* The one set of a burst that is answered has as its opaque how many were not. */
static void putPacket(struct buffer *b, uint64_t queue, const char *body,
                      uint64_t opaque) {
    if (!behind) opaque = mode == BURST ? outstanding - 1 : 0;
    addPacket(b, behind ? 0x11 : 0x01, opaque, 8, queue, size);
    add(b, body, size);
}

static void binaryPut(struct buffer *b, uint64_t queue, const char *body) {
    putPacket(b, queue, body, 0);
}

static void binaryTake(struct buffer *b, uint64_t queue) {
    addPacket(b, behind ? 0x09 : 0x00, 0, 0, queue, 0);
}

static void numberedPut(struct buffer *b, uint64_t queue, const char *body) {
    putPacket(b, queue, body, issued);
}

static void numberedTake(struct buffer *b, uint64_t queue) {
    addPacket(b, behind ? 0x09 : 0x00, issued, 0, queue, 0);
}

/* That answer is the answer to all of them: it counts down. */
static enum outcome storedAt(unsigned char *p, struct reply *r) {
    uint64_t unanswered = mode == BURST ? load(p + 12, 4) : 0;
    store(p + 12, unanswered - 1, 4);
    r->used = unanswered ? 0 : HEADER;
    return GOOD;
}

static enum outcome binaryParse(const char *bytes, size_t n, enum verb verb,
                                struct reply *r) {
    unsigned char *p = (unsigned char *)bytes;
    if (n < HEADER) return PART;
    uint64_t body = load(p + 8, 4), status = load(p + 6, 2);
    r->used = HEADER + body;
    if (p[0] != 0x81 || (verb == PUT && status)) return WRONG;
    if (verb == PUT) return storedAt(p, r);
    if (status) return n < r->used ? PART : status == 1 ? EMPTY : WRONG;
    if (p[4] != FLAGS) return WRONG;
    return bodyAt(bytes, n, HEADER + FLAGS, body - FLAGS, "", r);
}

/* ---- redis ---- */

static int digits(uint64_t number) { return snprintf(NULL, 0, "%lu", number); }

static void redisPut(struct buffer *b, uint64_t queue, const char *body) {
    addLine(b, "*3\r\n$5\r\nLPUSH\r\n$%d\r\n%s%lu\r\n$%zu\r\n",
            (int)strlen(name) + digits(queue), name, queue, size);
    addBody(b, body);
}

static void redisTake(struct buffer *b, uint64_t queue) {
    addLine(b, "*2\r\n$4\r\nRPOP\r\n$%d\r\n%s%lu\r\n",
            (int)strlen(name) + digits(queue), name, queue);
}

static enum outcome redisParse(const char *p, size_t n, enum verb verb,
                               struct reply *r) {
    if (!(r->used = lineAt(p, n))) return PART;
    if (verb == PUT) return *p == ':' ? GOOD : WRONG;
    if (starts(p, n, "$-1\r\n")) return EMPTY;
    if (*p != '$') return WRONG;
    return bodyAt(p, n, r->used, strtoul(p + 1, NULL, 10), "\r\n", r);
}

/* ---- beanstalkd ---- */

static void beanstalkPut(struct buffer *b, uint64_t queue, const char *body) {
    (void)queue;
    addLine(b, "put 0 0 60 %zu\r\n", size);
    addBody(b, body);
}

static void beanstalkTake(struct buffer *b, uint64_t queue) {
    (void)queue;
    addLine(b, "reserve-with-timeout 0\r\n");
}

static enum outcome beanstalkParse(const char *p, size_t n, enum verb verb,
                                   struct reply *r) {
    if (!(r->used = lineAt(p, n))) return PART;
    if (verb == PUT) return starts(p, n, "INSERTED ") ? GOOD : WRONG;
    if (verb == DROP) return starts(p, n, "DELETED\r\n") ? GOOD : WRONG;
    if (starts(p, n, "TIMED_OUT\r\n")) return EMPTY;
    if (!starts(p, n, "RESERVED ")) return WRONG;
    char *rest;
    r->job = strtoull(p + 9, &rest, 10);
    enum outcome o = bodyAt(p, n, r->used, strtoul(rest, NULL, 10), "\r\n", r);
    return o == GOOD ? RESERVED : o;
}

static const struct protocol protocols[] = {
    {"memcache", memcachePut, memcacheTake, memcacheParse},
    {"binary", binaryPut, binaryTake, binaryParse},
    {"numbered", numberedPut, numberedTake, binaryParse},
    {"redis", redisPut, redisTake, redisParse},
    {"beanstalk", beanstalkPut, beanstalkTake, beanstalkParse},
};

/* ---- requests ---- */

static uint64_t scatter(uint64_t x) {   /* splitmix64 */
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* The queue of an operation.  Gets step through the sets' numbers with a stride
 * that shares no factor with any count of them below it. */
static uint64_t queueOf(uint64_t number) {
    if (queues == 1) return 0;
    if (mode == GET) number = number * 2654435761u % operations;
    return scatter(number) % queues;
}

static void remember(struct connection *c, enum verb verb, uint64_t sent) {
    c->ring[c->newest++ % outstanding] = (struct request){sent, verb};
    underway++;
}

static void issue(struct connection *c, enum verb verb, uint64_t queue, uint64_t at) {
    if (verb == PUT)
        protocol->put(&c->out, queue, pattern + issued % PERIOD);
    else
        protocol->take(&c->out, queue);
    issued++;
    remember(c, verb, at);
}

static bool over(uint64_t at) {
    return ended || issued >= operations || at - began >= limit;
}

/* Let one more request out, unless all are out or the time is over. */
static void request(struct connection *c, uint64_t at) {
    if (!c->owes && over(at)) return;
    enum verb verb = mode == GET || c->owes ? TAKE : PUT;
    uint64_t number = c->owes ? c->owed : issued;
    c->owes = mode == PAIR && verb == PUT;
    c->owed = number;
    issue(c, verb, queueOf(number), at);
}

/* Let a burst of sets out, or the takes of the last one. */
static void burst(struct connection *c, uint64_t at) {
    if (!c->owes && over(at)) return;
    enum verb verb = c->owes ? TAKE : PUT;
    uint64_t first = c->owes ? c->owed : issued;
    c->owes = verb == PUT;
    c->owed = first;
    for (unsigned d = 0; d < outstanding; d++) {
        behind = outstanding - 1 - d;
        issue(c, verb, queueOf(first + d), at);
    }
}

static void finish(uint64_t took) {
    if (finished == room) {
        room = room ? room * 2 : 65536;
        latencies = atLeast(latencies, room * sizeof *latencies);
    }
    latencies[finished++] = took;
}

static void wrong(const char *p, size_t n) {
    if (errors++) return;
    fprintf(stderr, "load: wrong reply: %.*s\n", (int)(n < 100 ? n : 100), p);
}

/* Take all replies that are there, and let as many requests out. */
static void replies(struct connection *c) {
    while (c->oldest != c->newest) {
        struct request asked = c->ring[c->oldest % outstanding];
        struct reply r = {0, 0};
        const char *p = c->in.bytes + c->in.start;
        enum outcome o = protocol->parse(p, c->in.end - c->in.start, asked.verb, &r);
        if (o == PART) break;
        c->in.start += r.used;
        c->oldest++;
        underway--;
        if (o == RESERVED) {            /* half of a take: the clock goes on */
            addLine(&c->out, "delete %lu\r\n", r.job);
            remember(c, DROP, asked.sent);
            continue;
        }
        if (o == WRONG) wrong(p, r.used);
        if (o == EMPTY) empties++;
        uint64_t at = now();
        finish(at - asked.sent);
        for (; pace && c->due <= at; c->due += pace) finish(at - c->due);
        if (mode != BURST && !pace) request(c, at);
    }
    if (c->oldest != c->newest) return;
    if (c->in.start != c->in.end) die(1, "more came than was asked for");
    if (mode == BURST) burst(c, now());
}

/* ---- sockets ---- */

static void watch(struct connection *c, int operation) {
    struct epoll_event event = {
        .events = EPOLLIN | (c->blocked ? EPOLLOUT : 0u), .data.ptr = c};
    if (epoll_ctl(epoll, operation, c->fd, &event)) die(1, "epoll_ctl: %m");
}

static void sendOut(struct connection *c) {
    bool blocked = false;
    while (c->out.start < c->out.end && !blocked) {
        ssize_t n = send(c->fd, c->out.bytes + c->out.start,
                         c->out.end - c->out.start, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) die(1, "send: %m");
        if (n < 0) blocked = true; else c->out.start += (size_t)n;
    }
    if (blocked == c->blocked) return;
    c->blocked = blocked;
    watch(c, EPOLL_CTL_MOD);
}

static void takeIn(struct connection *c) {
    makeRoom(&c->in, 16384 + (size < 1 << 20 ? size : 1 << 20));
    ssize_t n = recv(c->fd, c->in.bytes + c->in.end, c->in.room - c->in.end,
                     MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) die(1, "recv: %m");
    if (n == 0) die(1, "the server hung up after %lu operations", finished);
    c->in.end += (size_t)n;
    replies(c);
}

static void open_(struct connection *c) {
    int on = 1;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    c->ring = atLeast(NULL, outstanding * sizeof *c->ring);
    if ((c->fd = socket(AF_INET, SOCK_STREAM, 0)) < 0) die(1, "socket: %m");
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to)) die(1, "connect: %m");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(c, EPOLL_CTL_ADD);
}

static void begin(struct connection *c, uint64_t first) {
    c->due = first;
    if (pace) return;
    if (mode == BURST) burst(c, now());
    else for (unsigned d = 0; d < outstanding; d++) request(c, now());
    sendOut(c);
}

/* Let out what is due; return when the next one will be, 0 if none will. */
static uint64_t paced(struct connection *all) {
    uint64_t at = now(), next = 0;
    for (struct connection *c = all; c < all + connections; c++) {
        if (c->oldest != c->newest || (!c->owes && over(c->due))) continue;
        if (c->due <= at) {
            request(c, c->due);
            c->due += pace;
            sendOut(c);
        } else if (!next || c->due < next) next = c->due;
    }
    return next;
}

/* Wait until something comes, at most until then. */
static int await(struct epoll_event *events, int most, uint64_t until) {
    uint64_t at = now(), left = until > at ? until - at : 0;
    struct timespec time = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
    int n = epoll_pwait2(epoll, events, most, &time, NULL);
    if (n < 0 && errno != EINTR) die(1, "epoll_pwait2: %m");
    return n;
}

static void run(struct connection *all) {
    struct epoll_event events[256];
    began = now();
    for (unsigned i = 0; i < connections; i++)
        begin(all + i, began + pace * i / connections);
    for (uint64_t heard = began;;) {
        uint64_t next = pace ? paced(all) : 0;
        if (!underway && !next) return;
        if (!underway) heard = now();
        uint64_t stalled = heard + STALL_MS * 1000000ull;
        int n = await(events, 256, next && next < stalled ? next : stalled);
        if (n == 0 && now() >= stalled)
            die(1, "no reply for %d s after %lu operations", STALL_MS / 1000, finished);
        if (n > 0) heard = now();
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].events & ~(unsigned)EPOLLOUT) takeIn(c);
            if (c->out.start < c->out.end) sendOut(c);
        }
    }
}

/* ---- the figures ---- */

static int ascending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double percentile(double part) {
    if (!finished) return 0;
    uint64_t rank = (uint64_t)(part * (double)finished + 0.999999);
    return (double)latencies[rank ? rank - 1 : 0] / 1e3;
}

static void print(double seconds) {
    qsort(latencies, finished, sizeof *latencies, ascending);
    printf("{\"operations\": %lu, \"seconds\": %.6f, \"rate\": %.1f, \"p50\": %.1f, "
           "\"p99\": %.1f, \"p999\": %.1f, \"max\": %.1f, \"errors\": %lu, "
           "\"empties\": %lu}\n",
           finished, seconds, seconds > 0 ? (double)finished / seconds : 0,
           percentile(.5), percentile(.99), percentile(.999), percentile(1), errors,
           empties);
}

/* ---- the command line ---- */

static uint64_t number(char letter, const char *word, uint64_t least, uint64_t most) {
    char *end;
    errno = 0;
    uint64_t value = strtoull(word, &end, 10);
    if (errno || *end || *word < '0' || *word > '9' || value < least || value > most)
        die(2, "-%c takes a number from %lu to %lu", letter, least, most);
    return value;
}

static const struct protocol *protocolOf(const char *word) {
    for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++)
        if (!strcmp(protocols[i].name, word)) return protocols + i;
    die(2, "-P takes memcache, binary, numbered, redis or beanstalk");
    return NULL;
}

static enum mode modeOf(const char *word) {
    if (!strcmp(word, "set")) return SET;
    if (!strcmp(word, "get")) return GET;
    if (!strcmp(word, "pair")) return PAIR;
    if (strcmp(word, "burst")) die(2, "-m takes set, get, pair or burst");
    return BURST;
}

static void options(int count, char **words) {
    int letter;
    protocol = protocols;
    while ((letter = getopt(count, words, "p:P:m:c:d:n:t:w:s:q:k:")) != -1) {
        char l = (char)letter;
        switch (letter) {
        case 'p': port = (int)number(l, optarg, 1, 65535); break;
        case 'P': protocol = protocolOf(optarg); break;
        case 'm': mode = modeOf(optarg); break;
        case 'c': connections = (unsigned)number(l, optarg, 1, 60000); break;
        case 'd': outstanding = (unsigned)number(l, optarg, 1, 65536); break;
        case 'n': operations = number(l, optarg, 1, 2000000000); break;
        case 't': limit = number(l, optarg, 1, 86400000) * 1000000; break;
        case 'w': pace = number(l, optarg, 1, 60000000) * 1000; break;
        case 's': size = number(l, optarg, 1, 1 << 30); break;
        case 'q': queues = number(l, optarg, 1, 100000000); break;
        case 'k': name = optarg; break;
        default: die(2, "its first lines say what it takes");
        }
    }
    if (!port || optind < count) die(2, "-p PORT, and nothing without a letter");
    if (strlen(name) > 200) die(2, "-k takes at most 200 bytes");
    if (queues > 1 && protocol->put == beanstalkPut) die(2, "beanstalk has one queue");
    if (pace && (outstanding > 1 || mode == BURST)) die(2, "-w needs one outstanding");
}

static void end(int signal) {
    (void)signal;
    ended = 1;
}

int main(int count, char **words) {
    struct rlimit files;
    options(count, words);
    signal(SIGTERM, end);
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    pattern = atLeast(NULL, size + PERIOD);
    for (size_t i = 0; i < size + PERIOD; i++) pattern[i] = (char)('0' + i % PERIOD);
    struct connection *all = calloc(connections, sizeof *all);
    if (!all || (epoll = epoll_create1(0)) < 0) die(1, "%m");
    for (unsigned i = 0; i < connections; i++) open_(all + i);
    run(all);
    print((double)(now() - began) / 1e9);
    return 0;
}
