import { Flex, SearchField, Select, Switch } from '@backstage/ui';

import type { GridPermission } from '../answers.js';
import type { View } from '../matrix.js';

const ALL = 'all';

/** What of the grid is shown, and in which order. */
export function MatrixControls({
  permissions,
  view,
  onChange,
}: {
  permissions: readonly GridPermission[];
  view: View;
  onChange: (view: View) => void;
}) {
  const plugins = [...new Set(permissions.map(({ plugin }) => plugin))].sort();
  const actions = [
    ...new Set(permissions.map(({ action }) => action ?? 'none')),
  ].sort();
  const options = (all: string, values: readonly string[]) => [
    { id: ALL, label: all },
    ...values.map(value => ({ id: value, label: value })),
  ];
  const chosen = (key: unknown) => (key === ALL ? '' : String(key));
  return (
    <Flex gap="3" align="end" className="stagedoor-controls">
      <SearchField
        label="Groups"
        placeholder="a part of the name"
        value={view.group}
        onChange={group => onChange({ ...view, group })}
      />
      <SearchField
        label="Permissions"
        placeholder="a part of the name"
        value={view.permission}
        onChange={permission => onChange({ ...view, permission })}
      />
      <Select
        label="Plugin"
        options={options('all plugins', plugins)}
        selectedKey={view.plugin || ALL}
        onSelectionChange={key => onChange({ ...view, plugin: chosen(key) })}
      />
      <Select
        label="Action"
        options={options('all actions', actions)}
        selectedKey={view.action || ALL}
        onSelectionChange={key => onChange({ ...view, action: chosen(key) })}
      />
      <Select
        label="Order"
        options={[
          { id: 'name', label: 'by name' },
          { id: 'rights', label: 'most rights first' },
        ]}
        selectedKey={view.order === 'rights' ? 'rights' : 'name'}
        onSelectionChange={key =>
          onChange({ ...view, order: key === 'rights' ? 'rights' : 'name' })
        }
      />
      <Switch
        label="Merge equal rows"
        isSelected={view.merged}
        onChange={merged => onChange({ ...view, merged })}
      />
      <Switch
        label="Only what somebody has"
        isSelected={view.granted}
        onChange={granted => onChange({ ...view, granted })}
      />
    </Flex>
  );
}
