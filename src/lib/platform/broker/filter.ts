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
