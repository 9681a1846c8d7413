/** A door that stands ajar. */
export function StageDoorIcon() {
  return (
    <svg
      width="1em"
      height="1em"
      viewBox="0 0 24 24"
      fill="currentColor"
      aria-hidden="true"
    >
      <path d="M3 21V19H5V4H13V6H7V19H13V21H3ZM14 3L20 5V19L14 21V3ZM16.5 11A1 1 0 1 0 16.5 13A1 1 0 0 0 16.5 11Z" />
    </svg>
  );
}
