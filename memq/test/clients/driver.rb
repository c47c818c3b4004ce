# Ruby's Dalli, driven: ruby driver.rb PORT PROTOCOL VERSION
#
# drivers.py says what comes in and goes out.  Flag 1 is how Dalli marks a value that
# went through Marshal; what it calls raw has flags 0.  VERSION may be nothing.

require 'base64'
require 'dalli'
require 'logger'
require 'openssl'

Dalli.logger = Logger.new($stderr)
port, protocol, version = ARGV
abort "This is Dalli #{Dalli::VERSION}" unless Dalli::VERSION.start_with?(version)

# What it speaks TLS with, if it is to do that.
def secured
  return {} if ENV.fetch('CLIENT_CA', '').empty?

  context = OpenSSL::SSL::SSLContext.new
  context.set_params(ca_file: ENV.fetch('CLIENT_CA'), verify_mode: OpenSSL::SSL::VERIFY_PEER)
  context.add_certificate(
    OpenSSL::X509::Certificate.new(File.read(ENV.fetch('CLIENT_CERTIFICATE'))),
    OpenSSL::PKey.read(File.read(ENV.fetch('CLIENT_KEY')))
  )
  { ssl_context: context }
end

CLIENT = Dalli::Client.new(
  "127.0.0.1:#{port}",
  protocol: protocol.to_sym, socket_timeout: ENV.fetch('PATIENCE').to_f, compress: false,
  value_max_bytes: 1 << 21, down_retry_delay: 0.05, socket_max_failures: 0,
  **secured
)

def done(yes)
  [yes ? 'yes' : 'no']
end

# An array is how this driver makes a value that needs Marshal.
COMMANDS = {
  'push' => lambda { |queue, flags, text|
    body = Base64.strict_decode64(text)
    raw = flags == '0'
    done(CLIENT.set(queue, raw ? body : [body], nil, raw: raw))
  },
  'pop' => lambda { |queue|
    value = CLIENT.get(queue)
    case value
    when nil then ['none']
    when Array then ['message', 1, Base64.strict_encode64(value[0])]
    else ['message', 0, Base64.strict_encode64(value)]
    end
  },
  'popeach' => lambda { |*queues|
    found = CLIENT.get_multi(*queues)
    ['found', *found.flat_map { |queue, body| [queue, Base64.strict_encode64(body)] }]
  },
  'delete' => ->(queue) { done(CLIENT.delete(queue)) },
  # It asks for no topic that memcached does not have.
  'stats' => lambda {
    stats = CLIENT.stats.values[0]
    names = stats.keys.filter_map { |name| name[/\Aqueue_(.+)_total_items\z/, 1] }
    ['found', *names.flat_map { |name|
      total, items = %w[total_items items].map { |kind| stats["queue_#{name}_#{kind}"] }
      [name, "#{total}/#{total.to_i - items.to_i}"]
    }]
  }
}.freeze

$stdout.sync = true
$stdin.each_line(chomp: true) do |line|
  name, *words = line.split(' ', -1)
  begin
    reply = COMMANDS[name].call(*words)
  rescue StandardError => e
    reply = ['error', "#{e.class}: #{e.message}".gsub(/\s+/, ' ')]
  end
  puts reply.join(' ')
end
