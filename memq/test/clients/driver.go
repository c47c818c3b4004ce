// Go's gomemcache, driven: gomemcache PORT PROTOCOL
//
// drivers.py says what comes in and goes out.
package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

func done(err error, not error) ([]string, error) {
	switch err {
	case nil:
		return []string{"yes"}, nil
	case not:
		return []string{"no"}, nil
	}
	return nil, err
}

func text(item *memcache.Item) string {
	return base64.StdEncoding.EncodeToString(item.Value)
}

func push(client *memcache.Client, words []string) ([]string, error) {
	flags, err := strconv.ParseUint(words[1], 10, 32)
	if err != nil {
		return nil, err
	}
	body, err := base64.StdEncoding.DecodeString(words[2])
	if err != nil {
		return nil, err
	}
	item := &memcache.Item{Key: words[0], Value: body, Flags: uint32(flags)}
	return done(client.Set(item), memcache.ErrNotStored)
}

func pop(client *memcache.Client, queue string) ([]string, error) {
	item, err := client.Get(queue)
	if err == memcache.ErrCacheMiss {
		return []string{"none"}, nil
	}
	if err != nil {
		return nil, err
	}
	flags := strconv.FormatUint(uint64(item.Flags), 10)
	return []string{"message", flags, text(item)}, nil
}

func popEach(client *memcache.Client, queues []string) ([]string, error) {
	items, err := client.GetMulti(queues)
	reply := []string{"found"}
	for queue, item := range items {
		reply = append(reply, queue, text(item))
	}
	return reply, err
}

// It has no stats, which are asked for on a connection of their own.
func stats(server string) ([]string, error) {
	connection, err := net.Dial("tcp", server)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	fmt.Fprint(connection, "stats queue\r\nquit\r\n")
	reply := []string{"found"}
	lines := bufio.NewScanner(connection)
	for lines.Scan() {
		if words := strings.Fields(lines.Text()); len(words) == 3 {
			reply = append(reply, words[1:]...)
		}
	}
	return reply, lines.Err()
}

func main() {
	server := "127.0.0.1:" + os.Args[1]
	client := memcache.New(server)
	client.Timeout, _ = time.ParseDuration(os.Getenv("PATIENCE") + "s")
	input := bufio.NewReader(os.Stdin)
	for {
		line, err := input.ReadString('\n')
		if err != nil {
			return
		}
		var reply []string
		words := strings.Split(strings.TrimSuffix(line, "\n"), " ")
		switch words[0] {
		case "push":
			reply, err = push(client, words[1:])
		case "pop":
			reply, err = pop(client, words[1])
		case "popeach":
			reply, err = popEach(client, words[1:])
		case "delete":
			reply, err = done(client.Delete(words[1]), memcache.ErrCacheMiss)
		case "stats":
			reply, err = stats(server)
		}
		if err != nil {
			reply = append([]string{"error"}, strings.Fields(err.Error())...)
		}
		fmt.Println(strings.Join(reply, " "))
	}
}
