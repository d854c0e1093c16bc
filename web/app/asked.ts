import { useEffect } from 'preact/hooks';
import { goTo, here, route } from './route.js';

/**
 * Opens the dialog that the address asks for, such as `?ask=suspend`. `open` returns whether the page has that dialog; the parameter is
 * then removed, so that a reload does not open it again.
 */
export function useAsked(open: (asked: string) => boolean): void {
  const asked = route.value.query.get('ask');
  useEffect(() => {
    if (asked !== null && open(asked)) goTo(here({ ask: '' }), { replace: true });
  }, [asked]);
}
