import type { FastifyInstance } from 'fastify';

/** Upper bounds of the histogram's buckets, s. */
const bounds = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

interface Series {
  method: string;
  route: string;
  status: number;
  /** Answers a bucket, not summed up; the last is for all that took longer. */
  buckets: number[];
  sum: number;
}

/** How long answers take, by method, route and status: a histogram of Prometheus. */
export class HttpFigures {
  private readonly series = new Map<string, Series>();
  private open = 0;

  /** To be called before the routes are registered. */
  watch(app: FastifyInstance): void {
    app.addHook('onRequest', async (_request, reply) => {
      this.open++;
      reply.raw.once('close', () => {
        this.open--;
      });
    });
    app.addHook('onResponse', async (request, reply) => {
      // The route's pattern, not the path: whoever calls paths at random makes no series.
      const route = request.routeOptions.url ?? 'none';
      this.note({ method: request.method, route, status: reply.statusCode }, reply.elapsedTime / 1000);
    });
  }

  private note(
    { method, route, status }: Pick<Series, 'method' | 'route' | 'status'>,
    seconds: number,
  ): void {
    const key = `${method} ${route} ${status}`;
    const known = this.series.get(key) ?? {
      method,
      route,
      status,
      buckets: bounds.map(() => 0).concat(0),
      sum: 0,
    };
    this.series.set(key, known);
    const at = bounds.findIndex((bound) => seconds <= bound);
    const index = at < 0 ? bounds.length : at;
    known.buckets[index] = (known.buckets[index] ?? 0) + 1;
    known.sum += seconds;
  }

  /** Prometheus's text format 0.0.4. */
  text(): string {
    const name = 'aiot_http_request_duration_seconds';
    const lines = [`# HELP ${name} Time until an answer was out.`, `# TYPE ${name} histogram`];
    for (const { method, route, status, buckets, sum } of this.series.values()) {
      const labels = `method="${method}",route="${escaped(route)}",status="${status}"`;
      let count = 0;
      for (const [i, n] of buckets.entries()) {
        count += n;
        lines.push(`${name}_bucket{${labels},le="${bounds[i] ?? '+Inf'}"} ${count}`);
      }
      lines.push(`${name}_sum{${labels}} ${sum}`, `${name}_count{${labels}} ${count}`);
    }
    return [
      ...lines,
      '# HELP aiot_http_requests_open Requests that are not answered yet.',
      '# TYPE aiot_http_requests_open gauge',
      `aiot_http_requests_open ${this.open}`,
      '',
    ].join('\n');
  }
}

function escaped(text: string): string {
  return text.replace(/[\\"\n]/g, (char) => (char === '\n' ? '\\n' : `\\${char}`));
}
