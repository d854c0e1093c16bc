import type { FastifyInstance } from 'fastify';

interface Path {
  /** As registered: `/api/v1/devices/:name`. */
  parts: string[];
  methods: Set<string>;
}

/**
 * Notes the routes as they are registered. Returns the methods of a path; none = there is no such path. A path is that of the
 * route with the most specific pattern: `/devices/actions` is not `/devices/:name`.
 */
export function noteRoutes(app: FastifyInstance): (path: string) => string[] {
  const paths = new Map<string, Path>();
  app.addHook('onRoute', ({ url, method }) => {
    const path = paths.get(url) ?? { parts: url.split('/'), methods: new Set() };
    for (const name of [method].flat()) path.methods.add(name);
    paths.set(url, path);
  });
  return (path) => {
    const asked = path.split('/');
    const [best] = [...paths.values()].filter(({ parts }) => matches(parts, asked)).sort(bySpecificity);
    return [...(best?.methods ?? [])].sort();
  };
}

function matches(parts: readonly string[], asked: readonly string[]): boolean {
  const open = parts.at(-1) === '*';
  if (open ? asked.length < parts.length : asked.length !== parts.length) return false;
  return parts.every(
    (part, i) => part === '*' || (part.startsWith(':') ? asked[i] !== '' : part === asked[i]),
  );
}

/** Text before parameters before `*`, from the left. */
function bySpecificity(a: Path, b: Path): number {
  const rank = (part: string | undefined) => (part === '*' ? 2 : part?.startsWith(':') ? 1 : 0);
  for (let i = 0; i < Math.max(a.parts.length, b.parts.length); i++) {
    const difference = rank(a.parts[i]) - rank(b.parts[i]);
    if (difference !== 0) return difference;
  }
  return 0;
}
