import { useApi } from '@backstage/frontend-plugin-api';
import {
  Alert,
  Button,
  Container,
  Flex,
  Radio,
  RadioGroup,
  Text,
  TextAreaField,
} from '@backstage/ui';
import { useState } from 'react';

import type { AccessRow, WhatIf } from '../answers.js';
import { stagedoorApiRef } from '../api.js';
import { Answered } from '../components/Answered.js';
import { useAnswer } from '../useAnswer.js';
import '../styles.css';

type Other = 'shadow' | 'beside' | 'instead';

/** What other policies would change: those of the shadow directory, or pasted ones. */
export function WhatIfPage() {
  const api = useApi(stagedoorApiRef);
  const [other, setOther] = useState<Other>('beside');
  const [text, setText] = useState('');
  const [asked, setAsked] = useState<{
    other: Other;
    text: string;
    n: number;
  }>();
  const compared = useAnswer<WhatIf>(asked && JSON.stringify(asked), () => {
    if (!asked || asked.other === 'shadow') return api.shadow();
    const files = [{ name: 'pasted.cedar', text: asked.text }];
    return api.whatIf({ files, mode: asked.other });
  });
  const isPasted = other !== 'shadow';
  return (
    <Container className="stagedoor-page">
      <RadioGroup
        label="Which policies"
        value={other}
        onChange={value => setOther(value as Other)}
      >
        <Radio value="beside">Pasted ones, beside those in force</Radio>
        <Radio value="instead">Pasted ones, in place of those in force</Radio>
        <Radio value="shadow">The shadow policies</Radio>
      </RadioGroup>
      {isPasted && (
        <TextAreaField
          label="Policies, in Cedar"
          rows={8}
          value={text}
          onChange={setText}
          className="stagedoor-policies"
        />
      )}
      <Flex>
        <Button
          variant="primary"
          isDisabled={isPasted && !text.trim()}
          onPress={() => setAsked({ other, text, n: (asked?.n ?? 0) + 1 })}
        >
          Compare
        </Button>
      </Flex>
      <Answered asked={compared}>
        {found => <Comparison whatIf={found} />}
      </Answered>
    </Container>
  );
}

const VERDICTS = {
  equal: 'Every request is decided as it is now.',
  widened: 'More is allowed, and nothing less.',
  narrowed: 'Less is allowed, and nothing more.',
  both: 'More is allowed here, and less there.',
  undecided: 'Whether anything changes is not decided.',
};

/** Shows who gains and who loses. */
export function Comparison({ whatIf }: { whatIf: WhatIf }) {
  const { meaning, rows, asked, leftOut, widened, narrowed, unnamed } = whatIf;
  return (
    <article aria-label="Comparison" data-verdict={meaning?.verdict}>
      {meaning ? (
        <>
          <Alert
            status={meaning.verdict === 'equal' ? 'success' : 'info'}
            icon
            title={VERDICTS[meaning.verdict]}
            description={
              meaning.undecided
                ? 'Something beside that is not decided: see the rows that say so.'
                : 'This is decided for all requests, from the policies alone.'
            }
          />
          {meaning.rows.length > 0 && (
            <div className="stagedoor-scroll">
              <table className="stagedoor-table" aria-label="For all requests">
                <thead>
                  <tr>
                    <th scope="col">What changes</th>
                    <th scope="col">Who</th>
                    <th scope="col">Permissions</th>
                    <th scope="col">About</th>
                    <th scope="col">Policies</th>
                    <th scope="col">For example</th>
                  </tr>
                </thead>
                <tbody>
                  {meaning.rows.map(row => (
                    <tr
                      key={JSON.stringify(row)}
                      data-direction={row.direction}
                    >
                      <th scope="row">
                        {row.proved
                          ? direction(row.direction)
                          : `not decided (${row.reasons.join('; ')})`}
                      </th>
                      <td>{row.who}</td>
                      <td>{few(row.actions)}</td>
                      <td>
                        {row.about}
                        {row.conditional && ', under conditions'}
                      </td>
                      <td>{row.policies.join(', ')}</td>
                      <td>{row.example}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </>
      ) : (
        <Alert
          status="warning"
          icon
          title="Nothing is known for all requests"
        />
      )}
      <section aria-label="By name">
        <Text as="h3" variant="title-x-small">
          By name
        </Text>
        {unnamed && <p>{unnamed}</p>}
        <p data-testid="asked">
          {`Of ${asked} requests of the catalog's users, ${widened} gain and ${narrowed} lose`}
          {leftOut > 0 && `; ${leftOut} more were not asked`}.
        </p>
        <ul className="stagedoor-list">
          {rows.map(row => (
            <li key={JSON.stringify(row)} data-direction={row.direction}>
              <AccessChange row={row} />
            </li>
          ))}
        </ul>
      </section>
    </article>
  );
}

function AccessChange({ row }: { row: AccessRow }) {
  const reasons = row.direction === 'widened' ? row.after : row.before;
  const about = row.resources.map(
    ({ kind, names, of }) => `${names.length} of ${of} of kind ${kind}`,
  );
  return (
    <>
      <strong>{few(row.who)}</strong>
      {` (${row.users} of ${row.all_users} users) ${direction(row.direction)}: ${few(row.actions)}`}
      {about.length > 0 && `, on ${about.join(', ')}`}
      {reasons.length > 0 && (
        <span className="stagedoor-quiet">{`, by ${reasons.join(', ')}`}</span>
      )}
    </>
  );
}

function direction(of: 'widened' | 'narrowed'): string {
  return of === 'widened' ? 'gain' : 'lose';
}

function few(words: readonly string[]): string {
  const more = words.length - 3;
  return `${words.slice(0, 3).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
