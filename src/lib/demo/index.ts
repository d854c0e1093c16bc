/** The main use case as one list of steps, which call the library's other modules. */
export {
  createDemo,
  type Demo,
  type DemoFolds,
  type DemoResult,
  demoFolder,
  demoResultSchema,
} from './demo.js';
