"""Represent HTTP as values, without sending anything.

Messages, addresses, URLs, media types, digests, dates, structured fields, caching and problem documents.
"""

from apcore.http.addresses import (
    LOOPBACK_OPEN,
    PUBLIC_ONLY,
    AddressPolicy,
    IpAddress as IpAddress,
    IpNetwork as IpNetwork,
    parse_ip as parse_ip,
)
from apcore.http.alternates import (
    ALTERNATES_MAX as ALTERNATES_MAX,
    HTML_BYTES_MAX as HTML_BYTES_MAX,
    find_alternates as find_alternates,
)
from apcore.http.caching import (
    Validators as Validators,
    conditional_headers as conditional_headers,
    fresh_until as fresh_until,
    is_storable as is_storable,
    matches_etag as matches_etag,
    refresh_headers as refresh_headers,
    strong_etag as strong_etag,
    validators_of as validators_of,
)
from apcore.http.dates import (
    format_http_date as format_http_date,
    parse_http_date as parse_http_date,
    parse_retry_after as parse_retry_after,
)
from apcore.http.digest import (
    check_content_digest as check_content_digest,
    check_digest as check_digest,
    make_content_digest as make_content_digest,
    make_digest as make_digest,
)
from apcore.http.fields import (
    FIELD_LENGTH_MAX as FIELD_LENGTH_MAX,
    BareItem as BareItem,
    DisplayString as DisplayString,
    InnerList as InnerList,
    Item as Item,
    StructuredMember as StructuredMember,
    Token as Token,
    parse_dictionary as parse_dictionary,
    parse_item as parse_item,
    parse_list as parse_list,
    serialize_dictionary as serialize_dictionary,
    serialize_item as serialize_item,
    serialize_list as serialize_list,
    serialize_parameters as serialize_parameters,
)
from apcore.http.media import (
    ACCEPT_ACTIVITYPUB as ACCEPT_ACTIVITYPUB,
    ACTIVITY_JSON,
    AS2_PROFILE as AS2_PROFILE,
    LD_JSON as LD_JSON,
    MediaType,
    is_activitypub,
    is_unprofiled_json_ld as is_unprofiled_json_ld,
    negotiate as negotiate,
    parse_media_type,
    quality as quality,
    wants_activitypub,
)
from apcore.http.messages import (
    DELIVERY_LIMITS as DELIVERY_LIMITS,
    BodyExcess as BodyExcess,
    Headers,
    HeadersLike as HeadersLike,
    Request,
    Response,
    TransportLimits,
    redact_url as redact_url,
)
from apcore.http.problem import (
    PROBLEM_JSON as PROBLEM_JSON,
    Problem,
    problem_for as problem_for,
)
from apcore.http.urls import (
    URL_LENGTH_MAX as URL_LENGTH_MAX,
    Origin,
    Url,
    UrlScheme as UrlScheme,
    join_url,
    parse_origin,
    parse_url,
    same_origin as same_origin,
)

__all__ = [
    "ACTIVITY_JSON",
    "LOOPBACK_OPEN",
    "PUBLIC_ONLY",
    "AddressPolicy",
    "Headers",
    "MediaType",
    "Origin",
    "Problem",
    "Request",
    "Response",
    "TransportLimits",
    "Url",
    "is_activitypub",
    "join_url",
    "parse_media_type",
    "parse_origin",
    "parse_url",
    "wants_activitypub",
]
