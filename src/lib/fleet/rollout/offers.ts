import type { Draft } from './draft.js';
import { isShadowing } from './shadow.js';
import type { RolloutDevice } from './types.js';
import { windowIsOpen } from './window.js';

/** Offers it to those of the open waves whose turn it is; outside of the window, takes it back from those that have not begun. */
export function offerDue(draft: Draft): void {
  const { head } = draft;
  const open = windowIsOpen(head.policy.window, draft.at);
  refill(draft);
  for (let wave = 0; wave <= head.wave; wave++) {
    if (open) offerTo(draft, wave);
    else takeBack(draft, wave);
  }
}

// Each report comes by here: of a wave of ten thousand that has nobody to look for, nobody is looked at.

function offerTo(draft: Draft, wave: number): void {
  const { counts } = draft.wave(wave);
  if (counts.pending + counts.shadowing === 0) return;
  const asShadow = isShadowing(draft.wave(wave));
  for (const device of draft.devicesOf(wave, ({ due }) => due <= draft.at)) {
    if (!isDue(draft, device, asShadow)) continue;
    if (!take(draft)) return;
    draft.offer(device, draft.head.releases[device.item]!, 'offered', asShadow);
  }
}

function takeBack(draft: Draft, wave: number): void {
  if (draft.wave(wave).counts.offered === 0) return;
  for (const device of draft.devicesOf(wave, ({ offered }) => offered)) {
    if (device.state !== 'offered') continue;
    draft.withdraw(device);
    draft.change(device, { state: 'pending', attempts: device.attempts - 1 });
  }
}

/** While the wave is a shadow, those that cannot run one wait. */
function isDue({ at, world }: Draft, { name, state, retryAt }: RolloutDevice, asShadow: boolean): boolean {
  if (!asShadow && state === 'shadowing') return true;
  if (state !== 'pending' || (retryAt !== null && at < retryAt)) return false;
  return !asShadow || (world.shadows?.(name) ?? false);
}

/** What is left over while nobody waits is lost but for so much of it, ms: the next wave does not begin with a minute's worth at once. */
const savedMs = 1000;

function refill(draft: Draft): void {
  const { head, at } = draft;
  const { perMinute } = head.policy;
  if (perMinute === null) return;
  const before = head.budget ?? { offers: 1, at };
  const grown = (Math.max(0, at - before.at) * perMinute) / 60_000;
  const most = 1 + (savedMs * perMinute) / 60_000;
  head.budget = { offers: Math.min(most, before.offers + grown), at };
}

function take({ head }: Draft): boolean {
  if (head.budget === null) return true;
  if (head.budget.offers < 1) return false;
  head.budget = { ...head.budget, offers: head.budget.offers - 1 };
  return true;
}
