import type { BrokerLimits } from './limits.js';
import type { Grant, Qos } from './wire.js';

/**
 * Whether a topic matches a filter (MQTT 3.1.1, 4.7). `+` matches one level, `#` the rest including the parent level. A leading wildcard
 * does not match topics that begin with `$`.
 */
export function topicMatcher(filter: string): (topic: string) => boolean {
  if (filter === '#') return (topic) => !topic.startsWith('$');
  if (!/[+#]/.test(filter)) return (topic) => topic === filter;
  const wanted = filter.split('/');
  const rest = wanted.at(-1) === '#';
  if (rest) wanted.pop();
  if (rest && !wanted.includes('+')) {
    const parent = wanted.join('/');
    return (topic) =>
      topic.startsWith(parent) && (topic.length === parent.length || topic[parent.length] === '/');
  }
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
    // A leading wildcard never matches a topic that begins with `$`.
    if (level === '#') return i > 0 || !filter.startsWith('$');
    // `a/#` also matches `a`, which `a/+` does not.
    if (inner[i] === undefined || inner[i] === '#') return false;
    if (level === '+' ? i === 0 && filter.startsWith('$') : level !== inner[i]) return false;
  }
  return inner.length === outer.length;
}

type TopicLimits = Pick<BrokerLimits, 'filterLength' | 'topicLevels'>;

/** Whether a filter's length and number of levels are within the broker's limits. */
export function fitsLimits(limits: TopicLimits, filter: string): boolean {
  return filter.length <= limits.filterLength && !isTooDeep(limits, filter);
}

/** Whether a topic or filter has more levels than the broker accepts. */
export function isTooDeep({ topicLevels }: Pick<BrokerLimits, 'topicLevels'>, topic: string): boolean {
  // Almost all topics are too short for that many levels.
  return topic.length >= topicLevels && topic.split('/', topicLevels + 1).length > topicLevels;
}

/** Whether a text is a valid filter: `+` and `#` occupy whole levels, and `#` is the last. */
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

/** The group and the filter of a shared subscription, `$share/GROUP/FILTER` (MQTT 5, section 4.8.2); null for any other filter. */
export function sharedFilter(filter: string): { group: string; filter: string } | null {
  if (!filter.startsWith(sharedPrefix)) return null;
  const end = filter.indexOf('/', sharedPrefix.length);
  if (end < 0) return null;
  return { group: filter.slice(sharedPrefix.length, end), filter: filter.slice(end + 1) };
}

const sharedPrefix = '$share/';

/** The filter whose messages a subscription receives; permissions apply to this filter. */
export function filterWithin(filter: string): string {
  return sharedFilter(filter)?.filter ?? filter;
}

/** Whether a text is a valid filter, or a valid shared subscription, whose group name contains no wildcards. */
export function isSubscription(text: string): boolean {
  if (!text.startsWith(sharedPrefix)) return isFilter(text);
  const shared = sharedFilter(text);
  return shared !== null && shared.group !== '' && !/[+#\0]/.test(shared.group) && isFilter(shared.filter);
}

/**
 * A shared subscription (MQTT 5, section 4.8.2): each message of the filter goes to one member of the group.
 */
export interface Share<T> {
  /** `$share/GROUP/FILTER`. */
  readonly name: string;
  readonly members: Map<T, Grant>;
  /** Members in the order of their turns, and the index of the next. */
  order: readonly T[];
  turn: number;
}

/** A subscriber of a topic, with the options of all of its matching subscriptions together. */
export interface Receiver<T> {
  readonly subscriber: T;
  /** The highest QoS of the matching subscriptions. */
  readonly qos: Qos;
  readonly retainAsPublished: boolean;
  /** Subscription identifiers; null = none. */
  readonly ids: readonly number[] | null;
  /** The receiver for messages that the subscriber itself published; null = No Local excludes them. */
  own: Receiver<T> | null;
}

/** Destinations of a topic's messages. */
export interface Receivers<T> {
  /** Subscribers without a shared subscription, each once. */
  readonly direct: readonly Receiver<T>[];
  readonly shares: readonly Share<T>[];
}

/** Subscribers to one filter. */
interface Place<T> {
  own: Map<T, Grant>;
  /** Shared subscriptions by group. */
  shares: Map<string, Share<T>> | null;
}

interface Node<T> extends Place<T> {
  children: Map<string, Node<T>>;
}

/** Number of topics whose receivers are cached. */
const remembered = 1000;

/**
 * Subscriptions by filter. Filters without wildcards, which are the majority, are looked up directly; the others are in a tree of their
 * levels. The receivers of a topic are cached until a subscription changes.
 */
export class Subscriptions<T> {
  private readonly exact = new Map<string, Place<T>>();
  private readonly root: Node<T> = newNode();
  private readonly known = new Map<string, Receivers<T>>();
  count = 0;
  /** Number of shared subscriptions among all subscriptions. */
  sharedCount = 0;

  /** Adds a subscription or changes its options. */
  add(filter: string, subscriber: T, grant: Grant): void {
    this.known.clear();
    const shared = sharedFilter(filter);
    const place = this.place(shared?.filter ?? filter);
    if (!shared) {
      if (!place.own.has(subscriber)) this.count++;
      place.own.set(subscriber, grant);
      return;
    }
    place.shares ??= new Map();
    const share = place.shares.get(shared.group) ?? { name: filter, members: new Map(), order: [], turn: 0 };
    place.shares.set(shared.group, share);
    if (!share.members.has(subscriber)) {
      this.count++;
      this.sharedCount++;
    }
    share.members.set(subscriber, grant);
    share.order = [...share.members.keys()];
  }

  remove(filter: string, subscriber: T): void {
    this.known.clear();
    const shared = sharedFilter(filter);
    const plain = shared?.filter ?? filter;
    if (!/[+#]/.test(plain)) {
      const place = this.exact.get(plain);
      if (!place) return;
      this.leave(place, subscriber, shared?.group);
      if (isEmpty(place)) this.exact.delete(plain);
      return;
    }
    const path: [Node<T>, string][] = [];
    let node: Node<T> | undefined = this.root;
    for (const level of plain.split('/')) {
      path.push([node, level]);
      node = node.children.get(level);
      if (!node) return;
    }
    this.leave(node, subscriber, shared?.group);
    for (const [parent, level] of path.reverse()) {
      const child: Node<T> | undefined = parent.children.get(level);
      if (child && isEmpty(child) && child.children.size === 0) parent.children.delete(level);
    }
  }

  /** The shared subscription of this name; undefined when it has no members. */
  share(name: string): Share<T> | undefined {
    const shared = sharedFilter(name);
    if (!shared) return undefined;
    if (!/[+#]/.test(shared.filter)) return this.exact.get(shared.filter)?.shares?.get(shared.group);
    let node: Node<T> | undefined = this.root;
    for (const level of shared.filter.split('/')) node = node?.children.get(level);
    return node?.shares?.get(shared.group);
  }

  receivers(topic: string): Receivers<T> {
    const known = this.known.get(topic);
    if (known) return known;
    const grants = new Map<T, Grant[]>();
    const shares: Share<T>[] = [];
    const take = (place: Place<T>) => {
      for (const [subscriber, grant] of place.own) {
        const before = grants.get(subscriber);
        if (before) before.push(grant);
        else grants.set(subscriber, [grant]);
      }
      if (place.shares) shares.push(...place.shares.values());
    };
    const place = this.exact.get(topic);
    if (place) take(place);
    if (this.root.children.size > 0) this.walk(this.root, topic.split('/'), 0, take);
    const direct = [...grants].map(([subscriber, all]) => receiverOf(subscriber, all));
    const receivers = { direct, shares };
    if (this.known.size >= remembered) this.known.clear();
    this.known.set(topic, receivers);
    return receivers;
  }

  private leave(place: Place<T>, subscriber: T, group: string | undefined): void {
    if (group === undefined) {
      if (place.own.delete(subscriber)) this.count--;
      return;
    }
    const share = place.shares?.get(group);
    if (!share?.members.delete(subscriber)) return;
    this.count--;
    this.sharedCount--;
    share.order = [...share.members.keys()];
    if (share.members.size === 0) place.shares?.delete(group);
    if (place.shares?.size === 0) place.shares = null;
  }

  /** MQTT 3.1.1, 4.7: a leading wildcard does not match topics that begin with `$`. */
  private walk(node: Node<T>, levels: string[], depth: number, take: (place: Place<T>) => void): void {
    const hidden = depth === 0 && levels[0]!.startsWith('$');
    const rest = hidden ? undefined : node.children.get('#');
    if (rest) take(rest);
    if (depth === levels.length) {
      take(node);
      return;
    }
    const one = hidden ? undefined : node.children.get('+');
    if (one) this.walk(one, levels, depth + 1, take);
    const same = node.children.get(levels[depth]!);
    // A topic level is never a wildcard, because such topics are rejected on arrival.
    if (same) this.walk(same, levels, depth + 1, take);
  }

  private place(filter: string): Place<T> {
    if (!/[+#]/.test(filter)) {
      const place = this.exact.get(filter) ?? { own: new Map<T, Grant>(), shares: null };
      this.exact.set(filter, place);
      return place;
    }
    let node = this.root;
    for (const level of filter.split('/')) {
      const next = node.children.get(level) ?? newNode<T>();
      node.children.set(level, next);
      node = next;
    }
    return node;
  }
}

function newNode<T>(): Node<T> {
  return { children: new Map(), own: new Map(), shares: null };
}

function isEmpty<T>({ own, shares }: Place<T>): boolean {
  return own.size === 0 && shares === null;
}

/** Merges all matching subscriptions into one delivery, with the highest QoS and every identifier (MQTT 5, section 3.3.4). */
function receiverOf<T>(subscriber: T, grants: readonly Grant[]): Receiver<T> {
  const receiver = merged(subscriber, grants);
  if (!grants.some(({ noLocal }) => noLocal)) return receiver;
  const local = grants.filter(({ noLocal }) => !noLocal);
  receiver.own = local.length === 0 ? null : merged(subscriber, local);
  return receiver;
}

function merged<T>(subscriber: T, grants: readonly Grant[]): Receiver<T> {
  const ids = grants.flatMap(({ id }) => (id > 0 ? [id] : []));
  const receiver: Receiver<T> = {
    subscriber,
    qos: Math.max(...grants.map(({ qos }) => qos)) as Qos,
    retainAsPublished: grants.some(({ retainAsPublished }) => retainAsPublished),
    ids: ids.length > 0 ? ids : null,
    own: null,
  };
  receiver.own = receiver;
  return receiver;
}
