/** The partitions that make a chip one device. */
export { defaultTable } from './default-table.js';
export { deviceImage, imageTable } from './image.js';
export * from './types.js';
