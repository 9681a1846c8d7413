'use strict';

// A small policy set that the tests share.

const schema = `
entity Team;
entity User in [Team] { joined?: datetime, quota?: decimal };
entity Service { tier: String, tags: Set<String>, owner?: User, replicas?: Long };
action deploy, read appliesTo {
  principal: User, resource: Service,
  context: { mfa?: Bool, ip?: ipaddr, ticket?: { id: Long, labels: Set<String> } }
};`;

const policies = `
@id("team-deploys")
permit (principal in Team::"payments", action == Action::"deploy", resource)
when { resource.tier == "gold" };

@id("owner-reads")
permit (principal, action == Action::"read", resource)
when { resource has owner && resource.owner == principal };

@id("needs-mfa")
forbid (principal, action == Action::"deploy", resource)
unless { context has mfa && context.mfa };

@id("limits")
forbid (principal, action, resource)
when { resource has replicas && resource.replicas * 2 > 200 };

@id("office")
permit (principal, action == Action::"read", resource)
when { context has ip && context.ip.isInRange(ip("10.0.0.0/8")) };

@id("ticket")
permit (principal, action == Action::"read", resource)
when { context has ticket && context.ticket.id == 7 && context.ticket.labels.contains("ok") };
`;

const texts = [
  { name: 'shop.cedarschema', text: schema },
  { name: 'shop.cedar', text: policies },
];

const entities = [
  { uid: 'User::"ana"', parents: ['Team::"payments"'] },
  { uid: { type: 'User', id: 'ben' } },
  {
    uid: 'Service::"ledger"',
    attrs: { tier: 'gold', tags: ['a', 'b'], owner: { __entity: { type: 'User', id: 'ben' } } },
  },
];

const deploy = {
  principal: 'User::"ana"',
  action: 'Action::"deploy"',
  resource: 'Service::"ledger"',
  context: { mfa: true },
};

module.exports = { schema, policies, texts, entities, deploy };
