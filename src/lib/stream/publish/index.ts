/** Publishing: one message, or many at a rate. */
export { type GivenOptions, publish } from './given.js';
export { publishedSchema, publishMessage } from './one.js';
export { type PublishManyOptions, publishedManySchema, publishMany } from './publish.js';
