/** The first few names, and how many more there are. */
export function listIds(ids: string[], most = 6): string {
  if (ids.length <= most) return ids.join(', ');
  return `${ids.slice(0, most - 1).join(', ')} and ${ids.length - most + 1} more`;
}
