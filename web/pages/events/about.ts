import type { PlatformEvent } from '../../../src/lib/registry/index.js';
import { linkTo } from '../../app/route.js';

/** The page of what an event is about; null where there is none. */
export function pageOf({ type, subject }: Pick<PlatformEvent, 'type' | 'subject'>): string | null {
  const [noun = ''] = type.split('.');
  const [name = '', version] = subject.split('@');
  const [first = ''] = subject.split('/');
  switch (noun) {
    case 'device':
      return linkTo(['devices', subject]);
    case 'rollout':
      return linkTo(['rollouts', subject]);
    case 'model':
      return linkTo(version === undefined ? ['models', name] : ['models', name, version]);
    case 'pipeline':
      return linkTo(['pipelines', subject]);
    case 'dataset':
    case 'data':
      return linkTo(['datasets', first]);
    default:
      return null;
  }
}

/** What an event says, in one line: `state committed · wave 0`. */
export function dataText(data: PlatformEvent['data']): string {
  return Object.entries(data)
    .filter(([, value]) => value !== null && value !== '')
    .map(([key, value]) => `${key} ${typeof value === 'object' ? JSON.stringify(value) : value}`)
    .join(' · ');
}
