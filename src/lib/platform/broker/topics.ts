import type { Qos } from './wire.js';

/**
 * Whether a topic fits a filter (MQTT 3.1.1, 4.7): `+` is one level, `#` the rest with the level above it; neither reaches
 * topics that begin with `$`.
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

/** Whether `allowed` reaches all that `filter` reaches. */
export function filterCovers(allowed: string, filter: string): boolean {
  const outer = allowed.split('/');
  const inner = filter.split('/');
  for (const [i, level] of outer.entries()) {
    // Wildcards never reach a topic that begins with $.
    if (level === '#') return i > 0 || !filter.startsWith('$');
    // `a/#` reaches `a` too, which is not `a/+`.
    if (inner[i] === undefined || inner[i] === '#') return false;
    if (level === '+' ? i === 0 && filter.startsWith('$') : level !== inner[i]) return false;
  }
  return inner.length === outer.length;
}

/** Whether it is a filter: `+` and `#` stand for whole levels, and `#` is the last. */
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

/** Topics whose receivers are remembered. */
const remembered = 1000;

/**
 * Who subscribed to what. Filters without wildcards, which are most, are looked up; the others are in a tree of their levels.
 * The receivers of a topic are remembered until a subscription changes.
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

  /** Each receiver once, with the highest QoS that it asked for. */
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

  /** MQTT 3.1.1, 4.7: wildcards do not reach topics that begin with $. */
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
    // A level of a topic is never a wildcard: those are refused where topics come in.
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
