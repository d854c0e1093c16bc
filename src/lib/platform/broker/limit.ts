/** What is used of aedes' client and of mqtt-packet's parser, neither of which bounds a packet; a test holds them to it. */
interface Parsing {
  _parser: { parse(bytes: Buffer): number; packet: { length: number } };
  conn: { destroy(error?: Error): void };
}

/**
 * Cuts a connection whose packet says that it is longer than `largest` bytes. The parser would collect it first: up to
 * 256 MiB (MQTT 3.1.1, 2.2.3) from anybody who can connect, before there was a password.
 */
export function limitPackets(client: unknown, largest: () => number): void {
  const { _parser: parser, conn } = client as Parsing;
  const parse = parser.parse.bind(parser);
  parser.parse = (bytes) => {
    const left = parse(bytes);
    // Set as soon as the header is read; a packet that is whole was handed over already.
    if (parser.packet.length > largest()) conn.destroy(new Error('a packet is too long'));
    return left;
  };
}
