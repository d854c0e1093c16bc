import { fillText, templateText } from '../template.js';
import type { Values } from '../values.js';

/** The configuration of Garage, and the script that connects its nodes and creates the bucket. */
export function garageFiles({ objects }: Values): [name: string, text: string][] {
  if (!objects) return [];
  const { servers, region } = objects;
  return [
    ['garage.toml', fillText(templateText('objects/garage.toml'), { servers, region })],
    ['setup.mjs', templateText('objects/setup.mjs')],
  ];
}

const units = { Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40 };

/** The part of a node's volume for data, bytes; the rest is for metadata. Garage balances data between nodes by this size. */
export function garageCapacity({ size }: { size: string }): number {
  const unit = size.slice(-2) as keyof typeof units;
  return Math.floor(Number.parseInt(size, 10) * units[unit] * 0.9);
}
