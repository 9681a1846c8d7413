import { Combobox } from '@backstage/ui';

/** Lets people choose a permission by a part of its name. */
export function PermissionField({
  permissions,
  value,
  onChange,
}: {
  permissions: readonly string[];
  value: string;
  onChange: (permission: string) => void;
}) {
  return (
    <Combobox
      className="stagedoor-field"
      label="Permission"
      placeholder="catalog.entity.delete"
      options={permissions.map(name => ({ id: name, label: name }))}
      selectedKey={value || null}
      onSelectionChange={key => {
        if (key !== null) onChange(String(key));
      }}
    />
  );
}
