/**
 * The addresses of the platform that a claim can contain: the one that the platform knows, and that of the page, if the device might reach
 * it instead. They differ behind an ingress, NAT, or the port mapping of a container.
 */
export function addressesOf(url: string, page: { protocol: string; host: string; origin: string }): string[] {
  const own = new URL(url);
  if (page.protocol !== 'https:' || page.host === own.host) return [url];
  return isOnlyHere(url) && isOnlyHere(page.origin) ? [url] : [url, page.origin];
}

/** Whether only programs on the platform's machine can reach the address. */
export function isOnlyHere(url: string): boolean {
  const { hostname } = new URL(url);
  return /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}
