"""How to reach the cluster: kubeconfig or the pod's own service account, as the official client reads them."""

from __future__ import annotations

import asyncio
import os
import ssl
from dataclasses import dataclass
from typing import Any

from contracts.errors import ClusterUnavailable

_FIX = "set kubernetes.context to one of your kubeconfig (kubectl config get-contexts), or KUBECONFIG to its file"


@dataclass(frozen=True)
class Access:
    """An API server and the way in. `configuration` is the official client's, which renews tokens."""

    url: str
    tls: ssl.SSLContext | bool
    server_name: str | None
    proxy: str | None
    configuration: Any

    async def headers(self) -> dict[str, str]:
        """The Authorization header as it is now: a plugin may be asked, a token file read again.

        Raises:
            ClusterUnavailable: no token could be had.
        """
        try:
            return await asyncio.to_thread(self._headers)
        except Exception as e:  # whatever a credential plugin raises
            raise ClusterUnavailable(f"no credentials for {self.url}: {e}", fix=_FIX) from e

    def _headers(self) -> dict[str, str]:
        token = self.configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        if token:
            return {"Authorization": str(token)}
        if self.configuration.username:
            return {"Authorization": str(self.configuration.get_basic_auth_token())}
        return {}


def open_access(context: str) -> Access:
    """Access by a context of the kubeconfig; "" is the pod's service account where there is one, else the current context.

    Raises:
        ClusterUnavailable: there is no usable configuration.
    """
    from kubernetes import config  # takes a third of a second, which only those should wait that have a cluster

    try:
        found = _configuration(context)
        return Access(
            url=str(found.host).rstrip("/"),
            tls=_tls(found),
            server_name=found.tls_server_name or None,
            proxy=_proxy(found),
            configuration=found,
        )
    except (config.ConfigException, OSError, ValueError) as e:
        raise ClusterUnavailable(f"no way to a cluster: {e}", fix=_FIX) from e


def _configuration(context: str) -> Any:
    from kubernetes import client, config

    loading: Any = config  # its functions have no types
    found = client.Configuration()
    if not context and os.environ.get("KUBERNETES_SERVICE_HOST"):
        loading.load_incluster_config(client_configuration=found)
    else:
        loading.load_kube_config(os.environ.get("KUBECONFIG"), context or None, found, persist_config=False)
    return found


def _proxy(found: Any) -> str | None:
    from kubernetes.client import rest

    bypassed: Any = rest.should_bypass_proxies  # has no types
    return None if not found.proxy or bypassed(found.host, found.no_proxy or "") else str(found.proxy)


def _tls(found: Any) -> ssl.SSLContext | bool:
    if not str(found.host).startswith("https"):
        return True
    context = ssl.create_default_context(cafile=found.ssl_ca_cert or None)
    # Many clusters' authorities lack what the strict mode of newer Pythons asks for.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not found.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if found.cert_file:
        context.load_cert_chain(found.cert_file, found.key_file)
    return context
