// Java's spymemcached, driven: java Driver PORT PROTOCOL
//
// drivers.py says what comes in and goes out.  Bytes and flags go as they are.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import net.spy.memcached.CachedData;
import net.spy.memcached.ConnectionFactoryBuilder;
import net.spy.memcached.ConnectionFactoryBuilder.Protocol;
import net.spy.memcached.MemcachedClient;
import net.spy.memcached.auth.AuthDescriptor;
import net.spy.memcached.auth.PlainCallbackHandler;
import net.spy.memcached.transcoders.Transcoder;

/** The loop, and the commands. */
public final class Driver {
    private static final long PATIENCE =
        (long) (1000 * Double.parseDouble(System.getenv("PATIENCE")));

    /** Leaves values alone. */
    private static final class Plain implements Transcoder<CachedData> {
        @Override
        public boolean asyncDecode(CachedData data) {
            return false;
        }

        @Override
        public CachedData encode(CachedData data) {
            return data;
        }

        @Override
        public CachedData decode(CachedData data) {
            return data;
        }

        @Override
        public int getMaxSize() {
            return CachedData.MAX_SIZE;
        }
    }

    private static final Transcoder<CachedData> PLAIN = new Plain();

    private final MemcachedClient client;

    private Driver(int port, Protocol protocol) throws Exception {
        ConnectionFactoryBuilder builder = new ConnectionFactoryBuilder()
            .setProtocol(protocol)
            .setOpTimeout(PATIENCE)
            .setMaxReconnectDelay(1);
        String user = System.getenv("CLIENT_USER");
        if (!user.isEmpty()) {
            builder.setAuthDescriptor(new AuthDescriptor(
                new String[] {"PLAIN"},
                new PlainCallbackHandler(user, System.getenv("CLIENT_SECRET"))));
        }
        client = new MemcachedClient(
            builder.build(), List.of(new InetSocketAddress("127.0.0.1", port)));
    }

    private static String text(byte[] body) {
        return Base64.getEncoder().encodeToString(body);
    }

    private static List<String> done(boolean yes) {
        return List.of(yes ? "yes" : "no");
    }

    private List<String> push(String queue, String flags, String text) throws Exception {
        byte[] body = Base64.getDecoder().decode(text);
        int bits = Integer.parseUnsignedInt(flags);
        CachedData data = new CachedData(bits, body, CachedData.MAX_SIZE);
        return done(client.set(queue, 0, data, PLAIN).get());
    }

    private List<String> pop(String queue) {
        CachedData data = client.get(queue, PLAIN);
        if (data == null) {
            return List.of("none");
        }
        String flags = Integer.toUnsignedString(data.getFlags());
        return List.of("message", flags, text(data.getData()));
    }

    private List<String> popEach(List<String> queues) {
        List<String> reply = new ArrayList<>(List.of("found"));
        client.getBulk(queues, PLAIN).forEach((queue, data) -> {
            reply.add(queue);
            reply.add(text(data.getData()));
        });
        return reply;
    }

    private List<String> stats() {
        List<String> reply = new ArrayList<>(List.of("found"));
        for (Map<String, String> found : client.getStats("queue").values()) {
            found.forEach((queue, counts) -> reply.addAll(List.of(queue, counts)));
        }
        return reply;
    }

    private List<String> answer(List<String> words) throws Exception {
        switch (words.get(0)) {
            case "push": return push(words.get(1), words.get(2), words.get(3));
            case "pop": return pop(words.get(1));
            case "popeach": return popEach(words.subList(1, words.size()));
            case "delete": return done(client.delete(words.get(1)).get());
            default: return stats();
        }
    }

    public static void main(String[] arguments) throws Exception {
        Protocol protocol = Protocol.valueOf(arguments[1].toUpperCase());
        Driver driver = new Driver(Integer.parseInt(arguments[0]), protocol);
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        PrintStream output = System.out;
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            List<String> reply;
            try {
                reply = driver.answer(Arrays.asList(line.split(" ", -1)));
            } catch (Exception e) {
                reply = List.of("error", e.toString().replaceAll("\\s+", " "));
            }
            output.println(String.join(" ", reply));
            output.flush();
        }
        System.exit(0);
    }
}
