"""A stand-in for schema.org's context, which is some three thousand terms and two hundred kilobytes long.

Who refers to it in a social document wants a handful of words. The stand-in gives *every* word its schema.org meaning through ``@vocab``, and
says out loud only what that does not: which values are references or dates, and which words have to be taken back because a context that
often stands before it (Activity Streams, the security vocabulary) uses them too.
"""

from __future__ import annotations

from typing import Final

from apcore.jsonld.contexts.notation import Definitions, context, keywords, prefixes, terms

__all__ = ["SCHEMA_ORG"]

SCHEMA_ORG: Final[Definitions] = context(
    {"@vocab": "http://schema.org/"},
    keywords("id type"),
    prefixes(
        schema="http://schema.org/",
        rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#",
        rdfs="http://www.w3.org/2000/01/rdf-schema#",
        xsd="http://www.w3.org/2001/XMLSchema#",
        dc="http://purl.org/dc/elements/1.1/",
        dct="http://purl.org/dc/terms/",
        foaf="http://xmlns.com/foaf/0.1/",
    ),
    terms(
        "schema",
        """Article Collection CollectionPage Event Offer Organization Person Place PostalAddress PropertyValue Question Service
        about actor address addressCountry addressLocality addressRegion audience comment creator description duration email
        endTime familyName givenName height identifier instrument language latitude location longitude member memberOf name
        object postalCode recipient result startTime streetAddress title value width""",
    ),
    terms(
        "schema",
        """acquireLicensePage actionableFeedbackPolicy afterMedia archivedAt associatedDisease beforeMedia benefitsSummaryUrl
        codeRepository colleague colorSwatch constraintProperty contentUrl correctionsPolicy discussionUrl diseasePreventionInfo
        diseaseSpreadStatistics diversityPolicy diversityStaffingReport documentation downloadUrl duringMedia embedUrl
        ethicsPolicy gameLocation gettingTestedInfo hasGS1DigitalLink hasMap hasMolecularFunction healthPlanMarketingUrl image
        inCodeSet inDefinedTermSet installUrl isBasedOn isBasedOnUrl isInvolvedInBiologicalProcess
        isLocatedInSubcellularLocation isPartOf labelDetails layoutImage license logo mainEntityOfPage map maps masthead
        merchantReturnLink missionCoveragePrioritiesPolicy newsUpdatesAndGuidelines noBylinesPolicy originalMediaLink paymentUrl
        prescribingInfo productReturnLink publicTransportClosuresInfo publishingPrinciples quarantineGuidelines relatedLink
        replyToUrl sameAs schoolClosuresInfo screenshot sdLicense season serviceUrl shippingSettingsLink significantLink
        significantLinks speakable target targetUrl thumbnailUrl tourBookingPage trackingUrl travelBans unnamedSourcesPolicy url
        usageInfo verificationFactCheckingPolicy webFeed""",
        type_="@id",
    ),
    terms(
        "schema",
        """applicationDeadline applicationStartDate auditDate availabilityEnds availabilityStarts birthDate commentTime
        dateCreated dateDeleted dateIssued dateModified datePosted datePublished dateRead dateVehicleFirstRegistered deathDate
        dissolutionDate endDate exceptDate expectedArrivalFrom expectedArrivalUntil expires foundingDate guidelineDate
        lastReviewed legislationDate legislationDateVersion merchantReturnDays modelDate orderDate paymentDueDate
        previousStartDate priceValidUntil productionDate purchaseDate releaseDate scheduledPaymentDate scheduledTime
        sdDatePublished startDate uploadDate validFrom validThrough validUntil vehicleModelDate""",
        type_="schema:Date",
    ),
)
