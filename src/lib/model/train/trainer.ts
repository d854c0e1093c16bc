import { learn, type TrainConfig } from './learn.js';
import { learnOutside } from './outside/learn-outside.js';

/** Who trains: our own engines, or the program that aiot.yaml names. */
export function trainerOf({ command }: TrainConfig): typeof learn {
  return command ? learnOutside : learn;
}
