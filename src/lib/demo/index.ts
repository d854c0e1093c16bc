/** The main use case as one list of steps that use the modules below; contains no step itself. */
export {
  createDemo,
  type Demo,
  type DemoFolds,
  type DemoResult,
  demoFolder,
  demoResultSchema,
} from './demo.js';
