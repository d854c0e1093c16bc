import type { Qos } from './wire.js';

/**
 * Whether a topic matches a filter (MQTT 3.1.1, 4.7): `+` is one level, `#` the rest including the parent level; neither matches topics that begin
 * with `$`.
 */
export function topicMatcher(filter: string): (topic: string) => boolean {
  if (filter === '#') return (topic) => !topic.startsWith('$');
  if (!/[+#]/.test(filter)) return (topic) => topic === filter;
  const wanted = filter.split('/');
  const rest = wanted.at(-1) === '#';
  if (rest) wanted.pop();
  const wild = wanted[0] === '+';
  return (topic) => {
    if (wild && topic.startsWith('$')) return false;
    const levels = topic.split('/');
    if (rest ? levels.length < wanted.length : levels.length !== wanted.length) return false;
    return wanted.every((level, i) => level === '+' || level === levels[i]);
  };
}

/** Whether `allowed` covers everything that `filter` matches. */
export function filterCovers(allowed: string, filter: string): boolean {
  const outer = allowed.split('/');
  const inner = filter.split('/');
  for (const [i, level] of outer.entries()) {
    // Wildcards never match a topic that begins with $.
    if (level === '#') return i > 0 || !filter.startsWith('$');
    // `a/#` also matches `a`, which `a/+` does not.
    if (inner[i] === undefined || inner[i] === '#') return false;
    if (level === '+' ? i === 0 && filter.startsWith('$') : level !== inner[i]) return false;
  }
  return inner.length === outer.length;
}

/** Whether it is a valid filter: `+` and `#` occupy whole levels, and `#` is the last. */
export function isFilter(text: string): boolean {
  return (
    text !== '' &&
    !text.includes('\0') &&
    text.split('/').every((level, i, all) => {
      if (level === '#') return i === all.length - 1;
      return level === '+' || !/[+#]/.test(level);
    })
  );
}

interface Node<T> {
  children: Map<string, Node<T>>;
  /** Subscribers of exactly this filter. */
  here: Map<T, Qos>;
}

/** Topics whose receivers are cached. */
const remembered = 1000;

/**
 * Subscriptions by filter. Filters without wildcards, which are most, are looked up directly; the others are in a tree of their levels. The receivers
 * of a topic are cached until a subscription changes.
 */
export class Subscriptions<T> {
  private readonly exact = new Map<string, Map<T, Qos>>();
  private readonly root: Node<T> = { children: new Map(), here: new Map() };
  private readonly known = new Map<string, readonly [T, Qos][]>();
  count = 0;

  /** Returns whether it is new. */
  add(filter: string, subscriber: T, qos: Qos): boolean {
    this.known.clear();
    const place = this.place(filter);
    const fresh = !place.has(subscriber);
    place.set(subscriber, qos);
    if (fresh) this.count++;
    return fresh;
  }

  remove(filter: string, subscriber: T): void {
    this.known.clear();
    if (!/[+#]/.test(filter)) {
      const place = this.exact.get(filter);
      if (place?.delete(subscriber)) this.count--;
      if (place?.size === 0) this.exact.delete(filter);
      return;
    }
    const path: [Node<T>, string][] = [];
    let node: Node<T> | undefined = this.root;
    for (const level of filter.split('/')) {
      path.push([node, level]);
      node = node.children.get(level);
      if (!node) return;
    }
    if (node.here.delete(subscriber)) this.count--;
    for (const [parent, level] of path.reverse()) {
      const child: Node<T> | undefined = parent.children.get(level);
      if (child && child.here.size === 0 && child.children.size === 0) parent.children.delete(level);
    }
  }

  /** Each receiver once, with the highest QoS it requested. */
  receivers(topic: string): readonly [T, Qos][] {
    const known = this.known.get(topic);
    if (known) return known;
    const found = new Map<T, Qos>();
    const take = (place: Map<T, Qos>) => {
      for (const [subscriber, qos] of place) {
        if (qos >= (found.get(subscriber) ?? 0)) found.set(subscriber, qos);
      }
    };
    take(this.exact.get(topic) ?? new Map());
    if (this.root.children.size > 0) this.walk(this.root, topic.split('/'), 0, take);
    const receivers = [...found];
    if (this.known.size >= remembered) this.known.clear();
    this.known.set(topic, receivers);
    return receivers;
  }

  /** MQTT 3.1.1, 4.7: wildcards do not match topics that begin with $. */
  private walk(node: Node<T>, levels: string[], depth: number, take: (place: Map<T, Qos>) => void): void {
    const hidden = depth === 0 && levels[0]!.startsWith('$');
    const rest = hidden ? undefined : node.children.get('#');
    if (rest) take(rest.here);
    if (depth === levels.length) {
      take(node.here);
      return;
    }
    const one = hidden ? undefined : node.children.get('+');
    if (one) this.walk(one, levels, depth + 1, take);
    const same = node.children.get(levels[depth]!);
    // A topic level is never a wildcard: such topics are refused on arrival.
    if (same) this.walk(same, levels, depth + 1, take);
  }

  private place(filter: string): Map<T, Qos> {
    if (!/[+#]/.test(filter)) {
      const place = this.exact.get(filter) ?? new Map<T, Qos>();
      this.exact.set(filter, place);
      return place;
    }
    let node = this.root;
    for (const level of filter.split('/')) {
      const next = node.children.get(level) ?? { children: new Map(), here: new Map() };
      node.children.set(level, next);
      node = next;
    }
    return node.here;
  }
}
