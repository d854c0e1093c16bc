import DataList from './list.js';

/** The bare topic lists. */
export default class Data extends DataList {
  static override summary = 'List the recordings of a project (as aiot data list).';
  static override examples = ['<%= config.bin %> <%= command.id %>'];
}
