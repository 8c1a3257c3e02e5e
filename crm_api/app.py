"""The Falcon application: every route on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import falcon

from crm_api.domain import inputs
from crm_api.domain.inputs import MAX_ID
from crm_api.resources import calls
from crm_api.resources.authentication import Authentication
from crm_api.resources.kept import Collection, Item, RingPlanItem
from crm_api.resources.rendering import install_error_handlers

if TYPE_CHECKING:
    from crm_api.adapters.plan_cache import PlanCache
    from crm_api.bootstrap import Services
    from crm_api.tables.database import CrmDatabase

KEY = f"{{key:int(min=1, max={MAX_ID})}}"


def create_app(services: Services, database: CrmDatabase, cache: PlanCache) -> falcon.App[Any, Any]:
    """Make the WSGI application."""
    app = falcon.App(middleware=[Authentication(services.tokens)])
    install_error_handlers(app, database)
    s, i = services, inputs

    app.add_route("/health", calls.Health(database, cache))
    # The call path
    app.add_route("/v1/ring-plans/{key}/{dialled}", calls.RingPlan(s.planning))
    app.add_route("/v1/door-openings", calls.DoorOpeningsInCall(s.door_openings))
    # What is kept
    app.add_route("/v1/cities", Collection(s.cities, i.NewCity, i.NameQuery))
    app.add_route(f"/v1/cities/{KEY}", Item(s.cities, i.CityChange))
    app.add_route("/v1/companies", Collection(s.companies, i.NewCompany, i.NameQuery))
    app.add_route(f"/v1/companies/{KEY}", Item(s.companies, i.CompanyChange))
    app.add_route("/v1/houses", Collection(s.houses, i.NewHouse, i.HouseQuery))
    app.add_route(f"/v1/houses/{KEY}", Item(s.houses, i.HouseChange))
    app.add_route("/v1/entrances", Collection(s.entrances, i.NewEntrance, i.OfHouseQuery))
    app.add_route(f"/v1/entrances/{KEY}", Item(s.entrances, i.EntranceChange))
    app.add_route("/v1/apartments", Collection(s.apartments, i.NewApartment, i.ApartmentQuery))
    app.add_route(f"/v1/apartments/{KEY}", Item(s.apartments, i.ApartmentChange))
    app.add_route("/v1/accounts", Collection(s.accounts, i.NewAccount, i.AccountQuery, key="account"))
    app.add_route("/v1/accounts/{key}", Item(s.accounts, i.AccountChange))
    app.add_route("/v1/accounts/{key}/rotate-password", calls.RotatePassword(s.accounts))
    app.add_route("/v1/panels", Collection(s.panels, i.NewPanel, i.OfCompanyQuery))
    app.add_route(f"/v1/panels/{KEY}", Item(s.panels, i.PanelChange))
    app.add_route(f"/v1/doors/{KEY}/open", calls.DoorOpen(s.door_openings))
    app.add_route("/v1/block-kinds", Collection(s.block_kinds, i.NewBlockKind, i.OfCompanyQuery))
    app.add_route(f"/v1/block-kinds/{KEY}", Item(s.block_kinds, i.BlockKindChange))
    app.add_route("/v1/blocks", Collection(s.blocks, i.NewBlock, i.OfApartmentQuery))
    app.add_route(f"/v1/blocks/{KEY}", Item(s.blocks, i.BlockChange))
    app.add_route("/v1/ring-plans", Collection(s.ring_plans, i.NewRingPlan, i.OfApartmentQuery))
    # The key is text to the router, because the route above shares this place.
    app.add_route("/v1/ring-plans/{key}", RingPlanItem(s.ring_plans, i.RingPlanChange))
    # What happened
    app.add_route("/v1/calls", calls.Records(s.history.calls))
    app.add_route("/v1/calls/{call_id}", calls.Call(s.history))
    app.add_route("/v1/access-records", calls.Records(s.history.access_records))
    return app
