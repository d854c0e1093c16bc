import type { FastifyInstance } from 'fastify';
import { whenClosed } from '../closed.js';
import type { Exposition, Labels } from '../figures/exposition.js';
import { Histogram } from '../figures/histogram.js';

/** How long answers take, by method, route and status: a histogram of Prometheus. */
export class HttpFigures {
  private readonly series = new Map<string, [Labels, Histogram]>();
  private open = 0;

  /** To be called before the routes are registered. */
  watch(app: FastifyInstance): void {
    app.addHook('onRequest', async (_request, reply) => {
      this.open++;
      whenClosed(reply.raw, () => {
        this.open--;
      });
    });
    app.addHook('onResponse', async (request, reply) => {
      // The route's pattern, not the path: whoever calls paths at random makes no series.
      const route = request.routeOptions.url ?? 'none';
      this.note({ method: request.method, route, status: `${reply.statusCode}` }, reply.elapsedTime / 1000);
    });
  }

  tell(out: Exposition): void {
    out.histogram(
      'aiot_http_request_duration_seconds',
      'Time until an answer was out.',
      this.series.values(),
    );
    out.gauge('aiot_http_requests_open', 'Requests that are not answered yet.', this.open);
  }

  private note(labels: Record<'method' | 'route' | 'status', string>, seconds: number): void {
    const key = `${labels.method} ${labels.route} ${labels.status}`;
    const known = this.series.get(key) ?? [labels, new Histogram()];
    this.series.set(key, known);
    known[1].note(seconds);
  }
}
