import { openLoader } from '../loader/open-loader.js';
import { openLine } from '../port/open-line.js';
import type { OpenBoard } from './with-board.js';

/** Speed of the ROMs' loaders before another one is agreed. */
const firstBaud = 115_200;

/** Opens the port and brings its chip into the loader. @throws AIOT_SERIAL_…, AIOT_CHIP_… with the port let go */
export const openBoard: OpenBoard = async (port, options) => {
  const { signal } = options;
  const line = await openLine(port, { baud: firstBaud, ...(signal && { signal }) });
  return await openLoader(line, options);
};
