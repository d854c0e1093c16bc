import type { RenderInput } from '../types.js';

/**
 * The server's configuration (NATS docs, "Configuration"). Paths are of the folder that the server is started in. The name `nats` is
 * what the motion system's clients look for in its certificate.
 */
export function serverConfig({ project }: RenderInput): string {
  const whose = project ? `the streams of ${project.config.name}` : 'the motion system';
  return `# NATS for ${whose}, rendered by aiot deploy render --target nats. README.md says how it is started:
# in this folder, with NATS_TOKEN and JS_KEY in its environment.

server_name: "nats"
listen: "0.0.0.0:4222"

# Figures and health (/healthz?js-enabled-only=true), for this machine alone: they need no token.
http: "127.0.0.1:8222"

# A file of its own, so that it can be kept apart.
include "auth.conf"

tls {
  cert_file: "certs/server.crt"
  key_file: "certs/server.key"
  ca_file: "certs/ca.crt"
  timeout: 5
  # Lets in only who has a certificate of this CA, besides the token:
  # verify: true
}

jetstream {
  store_dir: "store"
  max_memory_store: 1GB
  max_file_store: 1GB
  # What lies on disk is encrypted. Who loses the key loses the messages.
  cipher: "chacha"
  key: $JS_KEY
}
`;
}

export const authConfig = `# The token itself is in the environment of the server, and in no file of this folder that is shared.
authorization {
  token: $NATS_TOKEN
  timeout: 5
}
`;
