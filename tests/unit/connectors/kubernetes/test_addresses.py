"""Names and addresses of a cluster mean the service of the pods behind: from what the API server says to what callers are found to mean."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.kubernetes.addresses import AddressBook
from connectors.kubernetes.model import ClusterModel
from connectors.kubernetes.objects import ObjectKind
from connectors.kubernetes.read import reader
from contracts.frames import ADDRESS_PARTS, AddressFrame, pack, unpack
from streams.windows.addresses import BELIEVED_NS, Addresses
from tests.unit.connectors.kubernetes import objects as o

Json = o.Json


class Town:
    """A cluster, the book of its addresses, and whoever is told of them."""

    def __init__(self) -> None:
        self.model, self.book, self.known = ClusterModel("prod", 0), AddressBook("prod"), Addresses()
        self.told: list[int] = []

    def put(self, *raws: Json) -> None:
        for raw in raws:
            now = reader(ObjectKind(raw["kind"]))(json.dumps(raw).encode())
            self.model.take(self.model.things.get(now.head.uid), now, o.ns(100))

    def gone(self, *raws: Json) -> None:
        for raw in raws:
            self.model.take(reader(ObjectKind(raw["kind"]))(json.dumps(raw).encode()), None, o.ns(100))

    def at(self, seconds: float) -> None:
        """Time has come so far, and what has changed is told."""
        self.model.tick(o.ns(seconds))
        self.book.look(self.model.things.values(), o.ns(seconds))
        self.told = []
        for frame in list(self.book.untold(o.ns(seconds))):
            self.known.take(unpack(AddressFrame, pack(frame)))
            self.book.told(frame.part)
            self.told.append(frame.part)

    def means(self, host: str, *, by: str = "web", seconds: float = 200) -> str:
        return self.known.stands_for(by, f"external:{host}", o.ns(seconds))


def pod(name: str, ip: str, *, of: str, namespace: str = "shop", seconds: float = 1, **more: Any) -> Json:
    """A running pod by itself, of a service of that name."""
    scheduled = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": o.stamp(seconds)}]
    if (given := more.pop("given", None)) is not None:
        networked = more.pop("condition", "PodReadyToStartContainers")
        scheduled += [{"type": networked, "status": "True", "lastTransitionTime": o.stamp(given)}]
    return {
        "kind": "Pod",
        "metadata": o.meta("Pod", name, namespace=namespace, labels={"app": of}),
        "spec": {"nodeName": "n1", "containers": [{"name": "main", "image": "registry/cart:1.4"}]},
        "status": {"phase": "Running", "podIP": ip, "hostIP": "192.168.0.1", "conditions": scheduled, **more},
    }


CART = [pod("cart-0", "10.0.0.1", of="cart"), pod("cart-1", "10.0.0.2", of="cart")]
WEB = pod("web-0", "10.0.0.9", of="web")
BEHIND = o.endpoints(pods=CART)


def shop() -> Town:
    """web and cart in one namespace, cart behind a Service."""
    town = Town()
    town.put(*CART, WEB, o.service(ip="10.96.0.1"), BEHIND)
    town.at(100)
    return town


@pytest.mark.parametrize(
    "host",
    [
        *("cart", "cart.shop", "cart.shop.svc", "cart.shop.svc.cluster.local", "cart.shop.svc.k8s.house.example"),
        *("10.96.0.1", "10.0.0.1", "10.0.0.2"),
    ],
)
def test_every_spelling_of_a_service_and_its_pods_mean_the_same(host: str) -> None:
    assert shop().means(host) == "cart"


@pytest.mark.parametrize(
    "host",
    [
        *("bank", "cart.pay", "cart.example", "api.cart.shop", "cart.shop.example.com", "10.96.0.2", "10.0.0.1.nip.io"),
        *("svc", "cart.shop.pod", "x.cart.shop.svc"),
    ],
)
def test_what_is_no_name_of_the_cluster_means_nothing(host: str) -> None:
    assert shop().means(host) == ""


def test_who_telemetry_names_otherwise_is_called_so_from_the_beginning() -> None:
    town = shop()
    town.model.learn("store/basket", {"k8s.pod.uid": CART[0]["metadata"]["uid"]}, o.ns(100))
    town.model.learn("store/basket", {"k8s.pod.uid": CART[1]["metadata"]["uid"]}, o.ns(100))
    town.at(110)
    assert [town.means("cart", seconds=s) for s in (50, 105, 120)] == ["store/basket"] * 3
    assert town.means("10.0.0.2", seconds=50) == "store/basket"


def test_a_short_name_is_that_of_the_callers_namespace() -> None:
    other = pod("cart-0", "10.0.1.1", of="stock", namespace="depot")
    lorry = pod("lorry-0", "10.0.1.9", of="lorry", namespace="depot")
    town = shop()
    town.put(other, lorry, o.service("cart", namespace="depot", ip="10.96.0.7"))
    town.put(o.endpoints("cart", namespace="depot", pods=[other]))
    town.at(110)
    assert (town.means("cart", by="web"), town.means("cart", by="lorry")) == ("cart", "stock")
    assert (town.means("cart.depot", by="web"), town.means("cart.shop.svc", by="lorry")) == ("stock", "cart")
    assert town.means("cart", by="who knows") == "", "it may mean either"
    town.put(pod("web-0", "10.0.1.8", of="web", namespace="depot"))
    town.at(120)
    assert town.means("cart", by="web") == "", "it runs in both"


def test_a_caller_of_whom_nobody_knows_where_it_runs_means_the_only_one() -> None:
    assert shop().means("cart", by="cron on a machine") == "cart"


def test_an_address_that_is_given_to_another_is_the_others_from_then_on() -> None:
    town = shop()
    town.gone(CART[0])
    town.at(120)
    assert (town.means("10.0.0.1", seconds=119), town.means("10.0.0.1", seconds=121)) == ("cart", "")
    town.put(pod("pay-0", "10.0.0.1", of="pay", seconds=140))
    town.at(150)
    assert [town.means("10.0.0.1", seconds=s) for s in (119, 130, 139, 141, 200)] == ["cart", "", "", "pay", "pay"]


def test_a_pod_that_has_ended_holds_its_address_no_longer() -> None:
    town = shop()
    town.put(pod("job-0", "10.0.0.50", of="job"))
    town.at(110)
    ended = pod("job-0", "10.0.0.50", of="job", phase="Succeeded")
    ended["metadata"]["resourceVersion"] = "2"
    town.put(ended, pod("pay-0", "10.0.0.50", of="pay", seconds=115))
    town.at(120)
    assert [town.means("10.0.0.50", seconds=s) for s in (112, 118)] == ["job", "pay"]


def test_the_address_of_a_node_is_no_pods() -> None:
    town = shop()
    town.put(pod("proxy-0", "192.168.0.1", of="proxy"))
    town.at(110)
    assert town.means("192.168.0.1") == ""


def test_a_headless_service_is_its_pods_by_name_too() -> None:
    town = Town()
    queue = [pod(f"queue-{i}", f"10.0.2.{i}", of="queue") for i in range(2)]
    town.put(*queue, WEB, o.service("queue"), o.endpoints("queue", pods=queue))
    town.at(100)
    for host in ("queue", "queue-1.queue", "queue-0.queue.shop", "queue-0.queue.shop.svc.cluster.local", "10.0.2.1"):
        assert town.means(host) == "queue", host
    assert town.means("None") == ""


def test_a_service_by_another_name_is_outside_or_the_one_it_names() -> None:
    town = shop()
    town.put(o.service("bank", spec={"type": "ExternalName", "externalName": "API.Bank.example."}))
    town.put(o.service("basket", spec={"type": "ExternalName", "externalName": "cart.shop.svc.cluster.local"}))
    town.put(o.service("round", spec={"type": "ExternalName", "externalName": "round.shop.svc"}))
    town.at(110)
    assert town.means("bank") == "external:api.bank.example"
    assert town.means("basket.shop") == "cart"
    assert town.means("round") == "external:round.shop.svc"


def test_a_service_without_selector_is_whoever_has_the_addresses_behind_it() -> None:
    town = shop()
    town.put(o.service("legacy", ip="10.96.0.3"), o.endpoints("legacy", addresses=["172.16.0.4"]))
    town.put(o.service("inner", ip="10.96.0.4"), o.endpoints("inner", addresses=["10.0.0.1"]))
    town.at(110)
    assert town.means("legacy") == town.means("10.96.0.3") == "external:legacy.shop.svc"
    assert town.means("inner") == "cart"


def test_two_services_behind_one_name_are_called_by_that_name() -> None:
    town = Town()
    blue, green = pod("blue-0", "10.0.3.1", of="cart-blue"), pod("green-0", "10.0.3.2", of="cart-green")
    town.put(blue, green, WEB, o.service(ip="10.96.0.1"), o.endpoints(pods=[blue]))
    town.put(o.endpoints(part="d3e4f", pods=[green]))
    town.at(100)
    assert town.means("cart") == town.means("10.96.0.1") == "external:cart.shop.svc"
    assert town.means("10.0.3.2") == "cart-green"
    for each in (blue, green):
        town.model.learn("cart", {"k8s.pod.uid": each["metadata"]["uid"]}, o.ns(100))
    town.at(110)
    assert town.means("cart") == "cart", "both call themselves so"


def test_a_service_that_is_pointed_at_others_means_them_from_then_on() -> None:
    town = Town()
    blue, green = pod("blue-0", "10.0.3.1", of="cart-blue"), pod("green-0", "10.0.3.2", of="cart-green")
    town.put(blue, green, WEB, o.service(ip="10.96.0.1"), o.endpoints(pods=[blue]))
    town.at(100)
    town.put(o.endpoints(version=2, pods=[green]))
    town.at(150)
    for host in ("cart", "10.96.0.1"):
        assert [town.means(host, seconds=s) for s in (50, 149, 151)] == ["cart-blue", "cart-blue", "cart-green"]


def test_a_service_without_pods_for_the_moment_keeps_its_meaning() -> None:
    town = shop()
    town.put(o.endpoints(version=2, pods=[]))
    town.gone(*CART)
    town.at(150)
    assert town.means("cart", seconds=160) == "cart"
    new = [pod("cart-2", "10.0.0.3", of="cart", seconds=170)]
    town.put(*new, o.endpoints(version=3, pods=new))
    town.at(180)
    assert [town.means("10.96.0.1", seconds=s) for s in (140, 160, 190)] == ["cart"] * 3


def test_pods_that_are_seen_after_their_service_were_behind_it_all_along() -> None:
    town = Town()
    town.put(WEB, o.service(ip="10.96.0.1"), BEHIND)
    town.at(100)
    assert town.means("cart") == "external:cart.shop.svc"
    town.put(*CART)
    town.at(101)
    assert town.means("cart", seconds=90) == "cart"


def test_load_balancers_and_other_addresses_lead_to_it_unless_two_share_them() -> None:
    town = shop()
    pay = pod("pay-0", "10.0.0.20", of="pay")
    own = {"ingress": [{"ip": "203.0.113.5"}, {"hostname": "LB-1.elb.example.com"}]}
    town.put(o.service(ip="10.96.0.1", version=2, balancer=own, spec={"externalIPs": ["198.51.100.1"]}), pay)
    town.put(o.service("pay", ip="fd00::00a1", spec={"externalIPs": ["198.51.100.1"]}), o.endpoints("pay", pods=[pay]))
    town.at(110)
    assert town.means("203.0.113.5") == town.means("lb-1.elb.example.com") == "cart"
    assert town.means("fd00::a1") == "pay"
    assert town.means("198.51.100.1") == "", "whose it is depends on the port"


def test_only_what_has_changed_is_told_and_the_rest_in_turns() -> None:
    town = shop()
    assert sorted(town.told) == list(range(ADDRESS_PARTS)), "whatever was told before by others is over"
    town.at(101)
    assert town.told == []
    town.put(pod("cart-2", "10.0.0.3", of="cart"))
    town.at(102)
    assert len(town.told) == 1
    again = []
    for second in range(ADDRESS_PARTS):
        town.book.repeat()
        town.at(103 + second)
        again += town.told
    assert sorted(again) == list(range(ADDRESS_PARTS))


def test_what_nobody_repeats_is_not_believed_for_ever() -> None:
    town = shop()
    late = 100 + BELIEVED_NS / 1e9
    assert town.means("cart", seconds=late - 1) == "cart"
    assert town.means("cart", seconds=late + 1) == town.means("10.0.0.1", seconds=late + 1) == ""


def test_the_next_watcher_ends_no_lease_and_makes_none_older() -> None:
    town = Town()
    blue, green = pod("blue-0", "10.0.3.1", of="cart-blue"), pod("green-0", "10.0.3.2", of="cart-green")
    town.put(blue, green, WEB, o.service(ip="10.96.0.1"), o.endpoints(pods=[blue]))
    town.at(100)
    town.put(o.endpoints(version=2, pods=[green]))
    town.at(150)
    town.book = AddressBook("prod")
    town.gone(blue)
    town.at(160)
    assert [town.means("cart", seconds=s) for s in (50, 151, 170)] == ["cart-blue", "cart-green", "cart-green"]
    assert [town.means("10.0.3.1", seconds=s) for s in (50, 170)] == ["cart-blue", ""]


def test_an_older_word_is_ignored() -> None:
    town = shop()
    before = list(town.book.untold(o.ns(90)))
    town.book.repeat()
    old = next(iter(town.book.untold(o.ns(50))))
    town.gone(*CART, WEB, o.service(ip="10.96.0.1"), BEHIND)
    town.at(120)
    town.known.take(old)
    assert before == []
    assert town.means("10.0.0.1", seconds=130) == town.means("cart", seconds=130) == ""


@pytest.mark.parametrize("condition", ["PodReadyToStartContainers", "PodHasNetwork"])
def test_a_pod_that_waited_for_its_image_has_its_address_since_it_was_given_it(condition: str) -> None:
    """It was scheduled before the other one, whose address it has now."""
    town = Town()
    town.put(pod("cart-0", "10.0.0.1", of="cart", seconds=20, given=22), WEB)
    town.at(100)
    town.gone(pod("cart-0", "10.0.0.1", of="cart", seconds=20))
    town.put(pod("pay-0", "10.0.0.1", of="pay", seconds=10, given=130, condition=condition))
    town.at(140)
    assert [town.means("10.0.0.1", seconds=s) for s in (21, 25, 129, 130, 200)] == ["", "cart", "cart", "pay", "pay"]


def test_a_rolling_update_hands_addresses_on_in_a_circle() -> None:
    """Three services of one node are replaced, each new pod by the address that another one left; all between two looks."""
    names, ips = ["cart", "pay", "blog"], ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    town = Town()
    old = [pod(f"{name}-0", ip, of=name, given=5) for name, ip in zip(names, ips, strict=True)]
    town.put(*old, WEB)
    town.at(100)
    new = [pod(f"{name}-1", ips[(i + 1) % 3], of=name, seconds=110, given=120 + i) for i, name in enumerate(names)]
    town.gone(*old)
    town.put(*new)
    town.at(130)
    for i, name in enumerate(names):
        before, after = ips[i], ips[(i + 1) % 3]
        assert [town.means(before, seconds=s) for s in (50, 119)] == [name] * 2
        assert [town.means(after, seconds=s) for s in (120 + i, 200)] == [name] * 2


def test_of_two_pods_that_claim_an_address_the_one_that_was_given_it_last_has_it() -> None:
    """A job's pod that has ended stays for long; a pod on a node that is lost is never said to have ended."""
    town = Town()
    town.put(
        pod("pay-0", "10.0.0.1", of="pay", seconds=1, given=90),
        pod("cart-0", "10.0.0.1", of="cart", seconds=60, given=61),
    )
    town.at(100)
    assert town.means("10.0.0.1") == "pay"


def test_a_node_that_goes_takes_its_addresses_along() -> None:
    town = shop()
    town.gone(CART[1])
    town.put(o.endpoints(version=2, pods=CART[:1]))
    town.at(120)
    assert [town.means("10.0.0.2", seconds=s) for s in (60, 119, 121)] == ["cart", "cart", ""]
    town.put(pod("db-0", "10.0.0.2", of="db", seconds=150, given=155))
    town.at(160)
    assert [town.means("10.0.0.2", seconds=s) for s in (60, 119, 130, 154, 155)] == ["cart", "cart", "", "", "db"]
    assert town.means("cart", seconds=170) == "cart"
