// Internal parts of kafkajs 2.2.4 that have no types. The version is pinned, and the tests with a real Kafka verify the parts that
// are used.

declare module 'kafkajs/src/cluster/index.js' {
  import type { KafkaCluster } from './cluster.js';

  const Cluster: new (options: Record<string, unknown>) => KafkaCluster;
  export default Cluster;
}

declare module 'kafkajs/src/network/requestQueue/index.js' {
  export interface RequestQueue {
    throttledUntil: number;
    pending: unknown[];
    throttleCheckTimeoutId: unknown;
    scheduleCheckPendingRequests(): void;
    /** Timeout of the request, ms. */
    requestTimeout: number;
    enforceRequestTimeout: boolean;
    inflight: Map<number, { requestTimeout: number; timeoutRequest(): void }>;
    requestTimeoutIntervalId: unknown;
    scheduleRequestTimeoutCheck(): void;
    isConnected(): boolean;
    destroy(): void;
  }
  const RequestQueueClass: { prototype: RequestQueue };
  export default RequestQueueClass;
}

declare module 'kafkajs-snappy' {
  const snappy: () => {
    compress(encoder: { buffer: Buffer }): Promise<Uint8Array>;
    decompress(buffer: Buffer): Promise<Uint8Array>;
  };
  export default snappy;
}
