import { computed, signal } from '@preact/signals';

const hash = signal(location.hash);
addEventListener('hashchange', () => {
  hash.value = location.hash;
});

/**
 * The current address. For `#/devices/bench-1?tab=log`, it has the parts `devices` and `bench-1`, and the query.
 */
export const route = computed(() => {
  const [path = '', query = ''] = hash.value.replace(/^#\/?/, '').split('?');
  return {
    parts: path.split('/').filter(Boolean).map(decodeURIComponent),
    query: new URLSearchParams(query),
  };
});

/** A link to a page. */
export function linkTo(parts: readonly (string | number)[], query: Record<string, string> = {}): string {
  const search = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== '')).toString();
  return `#/${parts.map(encodeURIComponent).join('/')}${search === '' ? '' : `?${search}`}`;
}

/** A link to the current page with some changed query parameters; an empty value removes a parameter. */
export function here(changes: Record<string, string>): string {
  const { parts, query } = route.peek();
  return linkTo(parts, { ...Object.fromEntries(query), ...changes });
}

/** Opens an address. @param replace whether to replace the current entry in the browser's history */
export function goTo(to: string, { replace = false } = {}): void {
  if (replace) history.replaceState(null, '', to);
  else history.pushState(null, '', to);
  hash.value = to;
}
