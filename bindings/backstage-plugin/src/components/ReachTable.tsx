import type { Reach } from '../answers.js';

/** Which kinds of entities a permission reaches, and how many of each. */
export function ReachTable({ reach: { kinds, notAsked } }: { reach: Reach }) {
  if (!kinds.length) return <p>The catalog has no such entity.</p>;
  return (
    <>
      <div className="stagedoor-scroll">
        <table className="stagedoor-table" aria-label="Entities">
          <thead>
            <tr>
              <th scope="col">Kind</th>
              <th scope="col">Type</th>
              <th scope="col">Reached</th>
              <th scope="col">Such as</th>
            </tr>
          </thead>
          <tbody>
            {kinds.map(({ kind, type, reached, of, names }) => (
              <tr key={`${kind} ${type}`}>
                <th scope="row">{kind}</th>
                <td>{type ?? '–'}</td>
                <td>
                  {reached} of {of}
                </td>
                <td>{names.slice(0, 3).join(', ')}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {notAsked > 0 && <p>{notAsked} more entities were not looked at.</p>}
    </>
  );
}
