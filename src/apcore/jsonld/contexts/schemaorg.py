"""The context of schema.org: about 3,000 terms, of which a social document uses a handful.

The context has to define every term. With ``@vocab`` alone, its terms would be lost in documents that list Activity
Streams after it, because that context sets its own ``@vocab``. The context is built from the word lists here on first
use.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from apcore.jsonld.contexts.notation import Definitions, context, keywords, prefixes, terms

__all__ = ["schema_org"]

_TYPES: Final = """
    3DModel Abdomen AboutPage AcceptAction Accommodation AccountingService AchieveAction Action
    ActionAccessSpecification ActionStatusType ActivateAction ActivationFee ActiveActionStatus ActiveNotRecruiting
    AddAction AdministrativeArea AdultEntertainment AdultOrientedEnumeration AdvertiserContentArticle AerobicActivity
    AggregateOffer AggregateRating AgreeAction Airline Airport AlbumRelease AlcoholConsideration
    AlgorithmicallyEnhancedDigitalSource AlgorithmicMediaDigitalSource AlignmentObject AllergiesHealthAspect
    AllocateAction AllWheelDriveConfiguration AmpStory AMRadioChannel AmusementPark AnaerobicActivity
    AnalysisNewsArticle AnatomicalStructure AnatomicalSystem AndroidPlatform Anesthesia AnimalShelter Answer Apartment
    ApartmentComplex APIReference Appearance AppendAction ApplyAction ApprovedIndication Aquarium ArchiveComponent
    ArchiveOrganization ArriveAction Artery ArtGallery Article AskAction AskPublicNewsArticle AssessAction
    AssignAction Atlas Attorney Audience Audiobook AudiobookFormat AudioObject AudioObjectSnapshot
    AuthoritativeLegalValue AuthorizeAction AutoBodyShop AutoDealer AutomatedTeller AutomotiveBusiness AutoPartsStore
    AutoRental AutoRepair AutoWash Ayurvedic BackgroundNewsArticle BackOrder Bacteria Bakery Balance BankAccount
    BankOrCreditUnion Barcode BarOrPub BasicIncome Beach BeautySalon BedAndBreakfast BedDetails BedType BefriendAction
    BenefitsHealthAspect BikeStore BioChemEntity Blog BlogPosting BloodTest BoardingPolicyType BoatReservation
    BoatTerminal BoatTrip BodyMeasurementArm BodyMeasurementBust BodyMeasurementChest BodyMeasurementFoot
    BodyMeasurementHand BodyMeasurementHead BodyMeasurementHeight BodyMeasurementHips BodyMeasurementInsideLeg
    BodyMeasurementNeck BodyMeasurementTypeEnumeration BodyMeasurementUnderbust BodyMeasurementWaist
    BodyMeasurementWeight BodyOfWater Bone Book BookFormatType BookmarkAction BookSeries BookStore Boolean
    BorrowAction BowlingAlley BrainStructure Brand BreadcrumbList Brewery Bridge BroadcastChannel BroadcastEvent
    BroadcastFrequencySpecification BroadcastRelease BroadcastService BrokerageAccount BuddhistTemple BusinessAudience
    BusinessEntityType BusinessEvent BusinessFunction BusinessSupport BusOrCoach BusReservation BusStation BusStop
    BusTrip BuyAction ByBankTransferInAdvance ByInvoice CableOrSatelliteService CafeOrCoffeeShop Campground
    CampingPitch Canal CancelAction Car Cardiovascular CardiovascularExam CarUsageType CaseSeries Cash Casino
    CassetteFormat CategoryCode CategoryCodeSet CatholicChurch CausesHealthAspect CDCPMDRecord CDFormat Cemetery
    Certification CertificationActive CertificationInactive CertificationStatusEnumeration Chapter
    CharitableIncorporatedOrganization CheckAction CheckInAction CheckInAdvance CheckOutAction CheckoutPage
    ChemicalSubstance ChildCare ChildrensEvent Chiropractic ChooseAction Church City CityHall CivicStructure Claim
    ClaimReview Class CleaningFee Clinician Clip ClothingStore COD Code CohortStudy Collection CollectionPage
    CollegeOrUniversity ComedyClub ComedyEvent ComicCoverArt ComicIssue ComicSeries ComicStory Comment CommentAction
    CommentPermission CommunicateAction CommunityHealth CompilationAlbum Completed CompletedActionStatus
    CompleteDataFeed CompositeCaptureDigitalSource CompositeSyntheticDigitalSource
    CompositeWithTrainedAlgorithmicMediaDigitalSource CompoundPriceSpecification ComputerLanguage ComputerStore
    ConfirmAction Consortium ConstraintNode ConsumeAction ContactPage ContactPoint ContactPointOption
    ContagiousnessHealthAspect Continent ControlAction ConvenienceStore Conversation CookAction CoOp Corporation
    CorrectionComment Country Course CourseInstance Courthouse CoverArt CovidTestingFacility CreateAction CreativeWork
    CreativeWorkSeason CreativeWorkSeries CreditCard Crematorium CriticReview CrossSectional CssSelectorType CT
    CurrencyConversionService DamagedCondition DanceEvent DanceGroup DangerousGoodConsideration DataCatalog
    DataDownload DataDrivenMediaDigitalSource DataFeed DataFeedItem Dataset DataType Date DatedMoneySpecification
    DateTime DayOfWeek DaySpa DDxElement DeactivateAction DecontextualizedContent DefenceEstablishment DefinedRegion
    DefinedTerm DefinedTermSet DefinitiveLegalValue DeleteAction DeliveryChargeSpecification DeliveryEvent
    DeliveryMethod DeliveryTimeSettings Demand DemoAlbum DemoGameAvailability Dentist Dentistry DepartAction
    DepartmentStore DepositAccount Dermatologic Dermatology DesktopWebPlatform DiabeticDiet Diagnostic DiagnosticLab
    DiagnosticProcedure Diet DietarySupplement DietNutrition DigitalArtDigitalSource DigitalAudioTapeFormat
    DigitalCaptureDigitalSource DigitalDocument DigitalDocumentPermission DigitalDocumentPermissionType DigitalFormat
    DigitalPlatformEnumeration DirectDebit DisabilitySupport DisagreeAction Discontinued DiscoverAction
    DiscussionForumPosting DislikeAction Distance DistanceFee Distillery DJMixAlbum DonateAction DoseSchedule
    DoubleBlindedTrial DownloadAction Downpayment DrawAction Drawing DrinkAction DriveWheelConfigurationValue
    DrivingSchoolVehicleUsage Drug DrugClass DrugCost DrugCostCategory DrugLegalStatus DrugPregnancyCategory
    DrugPrescriptionStatus DrugStrength DryCleaningOrLaundry Duration DVDFormat Ear EatAction EBook
    EditedOrCroppedContent EducationalAudience EducationalOccupationalCredential EducationalOccupationalProgram
    EducationalOrganization EducationEvent EffectivenessHealthAspect Electrician ElectronicsStore ElementarySchool
    EmailMessage Embassy Emergency EmergencyService EmployeeRole EmployerAggregateRating EmployerReview
    EmploymentAgency Endocrine EndorseAction EndorsementRating Energy EnergyConsumptionDetails
    EnergyEfficiencyEnumeration EnergyStarCertified EnergyStarEnergyEfficiencyEnumeration EngineSpecification
    EnrollingByInvitation EntertainmentBusiness EntryPoint Enumeration Episode EPRelease EUEnergyEfficiencyCategoryA
    EUEnergyEfficiencyCategoryA1Plus EUEnergyEfficiencyCategoryA2Plus EUEnergyEfficiencyCategoryA3Plus
    EUEnergyEfficiencyCategoryB EUEnergyEfficiencyCategoryC EUEnergyEfficiencyCategoryD EUEnergyEfficiencyCategoryE
    EUEnergyEfficiencyCategoryF EUEnergyEfficiencyCategoryG EUEnergyEfficiencyEnumeration Event
    EventAttendanceModeEnumeration EventCancelled EventMovedOnline EventPostponed EventRescheduled EventReservation
    EventScheduled EventSeries EventStatusType EventVenue EvidenceLevelA EvidenceLevelB EvidenceLevelC
    ExampleMeasurementMethodEnum ExchangeRateSpecification ExchangeRefund ExerciseAction ExerciseGym ExercisePlan
    ExhibitionEvent Eye FailedActionStatus False FAQPage FastFoodRestaurant FDAcategoryA FDAcategoryB FDAcategoryC
    FDAcategoryD FDAcategoryX FDAnotEvaluated Female Festival FilmAction FinancialProduct FinancialService FindAction
    FireStation Flexibility Flight FlightReservation Float FloorPlan Florist FMRadioChannel FollowAction
    FoodEstablishment FoodEstablishmentReservation FoodEvent FoodService FourWheelDriveConfiguration FreeReturn Friday
    FrontWheelDriveConfiguration FullGameAvailability FullRefund FundingAgency FundingScheme Fungus FurnitureStore
    Game GameAvailabilityEnumeration GamePlayMode GameServer GameServerStatus GardenStore GasStation Gastroenterologic
    GatedResidenceCommunity GenderType Gene GeneralContractor GenericWebPlatform Genetic Genitourinary GeoCircle
    GeoCoordinates GeoShape GeospatialGeometry Geriatric GettingAccessHealthAspect GiveAction GlutenFreeDiet
    GolfCourse GovernmentBenefitsType GovernmentBuilding GovernmentOffice GovernmentOrganization GovernmentPermit
    GovernmentService Grant GraphicNovel GroceryStore GroupBoardingPolicy Guide Gynecologic Hackathon HairSalon
    HalalDiet Hardcover HardwareStore Head HealthAndBeautyBusiness HealthAspectEnumeration HealthCare
    HealthcareConsideration HealthClub HealthInsurancePlan HealthPlanCostSharingSpecification HealthPlanFormulary
    HealthPlanNetwork HealthTopicContent HearingImpairedSupported Hematologic HighSchool HinduDiet HinduTemple
    HobbyShop HomeAndConstructionBusiness HomeGoodsStore Homeopathic Hospital Hostel Hotel HotelRoom House
    HousePainter HowItWorksHealthAspect HowOrWhereHealthAspect HowTo HowToDirection HowToItem HowToSection HowToStep
    HowToSupply HowToTip HowToTool HVACBusiness HyperToc HyperTocEntry IceCreamShop IgnoreAction ImageGallery
    ImageObject ImageObjectSnapshot ImagingTest IndividualPhysician IndividualProduct Infectious InfectiousAgentClass
    InfectiousDisease InForce InformAction IngredientsHealthAspect InsertAction InstallAction Installment InStock
    InStoreOnly InStorePrepay InsuranceAgency Intangible Integer InteractAction InteractionCounter InternationalTrial
    InternetCafe InvestmentFund InvestmentOrDeposit InviteAction Invoice InvoicePrice IOSPlatform
    IPTCDigitalSourceEnumeration ItemAvailability ItemList ItemListOrderAscending ItemListOrderDescending
    ItemListOrderType ItemListUnordered ItemPage JewelryStore JobPosting JoinAction Joint KeepProduct KosherDiet
    LaboratoryScience LakeBodyOfWater Landform LandmarksOrHistoricalBuildings Language LaserDiscFormat
    LearningResource LeaveAction LeftHandDriving LegalForceStatus LegalService LegalValueLevel Legislation
    LegislationObject LegislativeBuilding LeisureTimeActivity LendAction Library LibrarySystem LifestyleModification
    Ligament LikeAction LimitedAvailability LimitedByGuaranteeCharity LinkRole LiquorStore ListenAction ListItem
    ListPrice LiteraryEvent LiveAlbum LiveBlogPosting LivingWithHealthAspect LoanOrCredit LocalBusiness
    LocationFeatureSpecification LockerDelivery Locksmith LodgingBusiness LodgingReservation Longitudinal LoseAction
    LowCalorieDiet LowFatDiet LowLactoseDiet LowSaltDiet Lung LymphaticVessel MadeToOrder Male Manuscript Map
    MapCategoryType MarryAction Mass MathSolver MaximumDoseSchedule MayTreatHealthAspect MeasurementMethodEnum
    MeasurementTypeEnumeration MediaEnumeration MediaGallery MediaManipulationRatingEnumeration MediaObject
    MediaReview MediaReviewItem MediaSubscription MedicalAudience MedicalAudienceType MedicalBusiness MedicalCause
    MedicalClinic MedicalCode MedicalCondition MedicalConditionStage MedicalContraindication MedicalDevice
    MedicalDevicePurpose MedicalEntity MedicalEnumeration MedicalEvidenceLevel MedicalGuideline
    MedicalGuidelineContraindication MedicalGuidelineRecommendation MedicalImagingTechnique MedicalIndication
    MedicalIntangible MedicalObservationalStudy MedicalObservationalStudyDesign MedicalOrganization MedicalProcedure
    MedicalProcedureType MedicalResearcher MedicalRiskCalculator MedicalRiskEstimator MedicalRiskFactor
    MedicalRiskScore MedicalScholarlyArticle MedicalSign MedicalSignOrSymptom MedicalSpecialty MedicalStudy
    MedicalStudyStatus MedicalSymptom MedicalTest MedicalTestPanel MedicalTherapy MedicalTrial MedicalTrialDesign
    MedicalWebPage MedicineSystem MeetingRoom MemberProgram MemberProgramTier MensClothingStore Menu MenuItem
    MenuSection MerchantReturnEnumeration MerchantReturnFiniteReturnWindow MerchantReturnNotPermitted
    MerchantReturnPolicy MerchantReturnPolicySeasonalOverride MerchantReturnUnlimitedWindow MerchantReturnUnspecified
    Message MiddleSchool Midwifery MinimumAdvertisedPrice MinorHumanEditsDigitalSource MisconceptionsHealthAspect
    MixedEventAttendanceMode MixtapeAlbum MobileApplication MobilePhoneStore MobileWebPlatform MolecularEntity Monday
    MonetaryAmount MonetaryAmountDistribution MonetaryGrant MoneyTransfer MortgageLoan Mosque Motel Motorcycle
    MotorcycleDealer MotorcycleRepair MotorizedBicycle Mountain MoveAction Movie MovieClip MovieRentalStore
    MovieSeries MovieTheater MovingCompany MRI MSRP MulticellularParasite MultiCenterTrial MultiPlayer Muscle
    Musculoskeletal MusculoskeletalExam Museum MusicAlbum MusicAlbumProductionType MusicAlbumReleaseType
    MusicComposition MusicEvent MusicGroup MusicPlaylist MusicRecording MusicRelease MusicReleaseFormatType MusicStore
    MusicVenue MusicVideoObject NailSalon NarcoticConsideration Neck NegativeFilmDigitalSource Nerve Neuro Neurologic
    NewCondition NewsArticle NewsMediaOrganization Newspaper NGO NightClub NLNonprofitType NoninvasiveProcedure
    Nonprofit501a Nonprofit501c1 Nonprofit501c10 Nonprofit501c11 Nonprofit501c12 Nonprofit501c13 Nonprofit501c14
    Nonprofit501c15 Nonprofit501c16 Nonprofit501c17 Nonprofit501c18 Nonprofit501c19 Nonprofit501c2 Nonprofit501c20
    Nonprofit501c21 Nonprofit501c22 Nonprofit501c23 Nonprofit501c24 Nonprofit501c25 Nonprofit501c26 Nonprofit501c27
    Nonprofit501c28 Nonprofit501c3 Nonprofit501c4 Nonprofit501c5 Nonprofit501c6 Nonprofit501c7 Nonprofit501c8
    Nonprofit501c9 Nonprofit501d Nonprofit501e Nonprofit501f Nonprofit501k Nonprofit501n Nonprofit501q Nonprofit527
    NonprofitANBI NonprofitSBBI NonprofitType Nose Notary NoteDigitalDocument NotInForce NotYetRecruiting Number
    Nursing NutritionInformation Observation Observational Obstetric Occupation OccupationalActivity
    OccupationalExperienceRequirements OccupationalTherapy OceanBodyOfWater Offer OfferCatalog OfferForLease
    OfferForPurchase OfferItemCondition OfferShippingDetails OfficeEquipmentStore OfficialLegalValue
    OfflineEventAttendanceMode OfflinePermanently OfflineTemporarily Oncologic OnDemandEvent OneTimePayments Online
    OnlineBusiness OnlineEventAttendanceMode OnlineFull OnlineOnly OnlineStore OnSitePickup OpeningHoursSpecification
    OpenTrial OpinionNewsArticle Optician Optometric Order OrderAction OrderCancelled OrderDelivered OrderInTransit
    OrderItem OrderPaymentDue OrderPickupAvailable OrderProblem OrderProcessing OrderReturned OrderStatus Organization
    OrganizationRole OrganizeAction OriginalMediaContent OriginalShippingFees Osteopathic OTC Otolaryngologic
    OutletStore OutOfStock OverviewHealthAspect OwnershipInfo PaidLeave PaintAction Painting PalliativeProcedure
    Paperback ParcelDelivery ParcelService ParentalSupport ParentAudience Park ParkingFacility ParkingMap
    PartiallyInForce Pathology PathologyTest Patient PatientExperienceHealthAspect PawnShop PayAction
    PaymentAutomaticallyApplied PaymentCard PaymentChargeSpecification PaymentComplete PaymentDeclined PaymentDue
    PaymentMethod PaymentMethodType PaymentPastDue PaymentService PaymentStatusType Pediatric PeopleAudience
    PercutaneousProcedure PerformAction PerformanceRole PerformingArtsTheater PerformingGroup Periodical Permit Person
    PET PetStore Pharmacy PharmacySpecialty PhoneCarrierPayment Photograph PhotographAction PhysicalActivity
    PhysicalActivityCategory PhysicalExam PhysicalTherapy Physician PhysiciansOffice Physiotherapy Place
    PlaceboControlledTrial PlaceOfWorship PlanAction PlasticSurgery Play PlayAction PlayGameAction Playground Plumber
    PodcastEpisode PodcastSeason PodcastSeries Podiatric PoliceStation PoliticalParty Pond PositiveFilmDigitalSource
    PostalAddress PostalCodeRangeSpecification Poster PostOffice PotentialActionStatus PregnancyHealthAspect PreOrder
    PreOrderAction PrependAction PreSale Preschool PrescriptionOnly PresentationDigitalDocument PreventionHealthAspect
    PreventionIndication PriceComponentTypeEnumeration PriceSpecification PriceTypeEnumeration PrimaryCare
    PrintDigitalSource Prion Product ProductCollection ProductGroup ProductModel ProductReturnEnumeration
    ProductReturnFiniteReturnWindow ProductReturnNotPermitted ProductReturnPolicy ProductReturnUnlimitedWindow
    ProductReturnUnspecified ProfessionalService ProfilePage PrognosisHealthAspect ProgramMembership Project
    PronounceableText Property PropertyValue PropertyValueSpecification Protein Protozoa Psychiatric
    PsychologicalTreatment PublicationEvent PublicationIssue PublicationVolume PublicHealth PublicHolidays
    PublicSwimmingPool PublicToilet Pulmonary QAPage QualitativeValue QuantitativeValue QuantitativeValueDistribution
    Quantity Question Quiz Quotation QuoteAction RadiationTherapy RadioBroadcastService RadioChannel RadioClip
    RadioEpisode Radiography RadioSeason RadioSeries RadioStation RandomizedTrial Rating ReactAction ReadAction
    ReadPermission RealEstateAgent RealEstateListing RearWheelDriveConfiguration ReceiveAction Recipe Recommendation
    RecommendedDoseSchedule Recruiting RecyclingCenter ReducedRelevanceForChildrenConsideration RefundTypeEnumeration
    RefurbishedCondition RegisterAction Registry RegularPrice ReimbursementCap RejectAction RelatedTopicsHealthAspect
    RemixAlbum Renal RentAction RentalCarReservation RentalVehicleUsage RepaymentSpecification ReplaceAction
    ReplyAction Report ReportageNewsArticle ReportedDoseSchedule Researcher ResearchOrganization ResearchProject
    Reservation ReservationCancelled ReservationConfirmed ReservationHold ReservationPackage ReservationPending
    ReservationStatusType ReserveAction Reserved Reservoir Residence Resort RespiratoryTherapy Restaurant
    RestockingFees RestrictedDiet ResultsAvailable ResultsNotAvailable ResumeAction Retail ReturnAction ReturnAtKiosk
    ReturnByMail ReturnFeesCustomerResponsibility ReturnFeesEnumeration ReturnInStore
    ReturnLabelCustomerResponsibility ReturnLabelDownloadAndPrint ReturnLabelInBox ReturnLabelSourceEnumeration
    ReturnMethodEnumeration ReturnShippingFees Review ReviewAction ReviewNewsArticle Rheumatologic RightHandDriving
    RisksOrComplicationsHealthAspect RiverBodyOfWater Role RoofingContractor Room RsvpAction RsvpResponseMaybe
    RsvpResponseNo RsvpResponseType RsvpResponseYes RVPark SafetyHealthAspect SaleEvent SalePrice
    SatireOrParodyContent SatiricalArticle Saturday Schedule ScheduleAction ScholarlyArticle School SchoolDistrict
    ScreeningEvent ScreeningHealthAspect Sculpture SeaBodyOfWater SearchAction SearchRescueOrganization
    SearchResultsPage Season Seat SeatingMap SeeDoctorHealthAspect SeekToAction SelfCareHealthAspect SelfStorage
    SellAction SendAction Series Service ServiceChannel SexualContentConsideration ShareAction SheetMusic
    ShippingDeliveryTime ShippingRateSettings ShoeStore ShoppingCenter ShortStory SideEffectsHealthAspect
    SingleBlindedTrial SingleCenterTrial SingleFamilyResidence SinglePlayer SingleRelease SiteNavigationElement
    SizeGroupEnumeration SizeSpecification SizeSystemEnumeration SizeSystemImperial SizeSystemMetric Skin SkiResort
    SocialEvent SocialMediaPosting SoftwareApplication SoftwareSourceCode SoldOut SolveMathAction SomeProducts
    SoundtrackAlbum SpeakableSpecification SpecialAnnouncement Specialty SpeechPathology SpokenWordAlbum
    SportingGoodsStore SportsActivityLocation SportsClub SportsEvent SportsOrganization SportsTeam
    SpreadsheetDigitalDocument SRP StadiumOrArena StagedContent StagesHealthAspect State Statement
    StatisticalPopulation StatisticalVariable StatusEnumeration SteeringPositionValue Store StoreCreditRefund
    StrengthTraining StructuredValue StudioAlbum StupidType SubscribeAction Subscription Substance SubwayStation Suite
    Sunday SuperficialAnatomy Surgical SurgicalProcedure SuspendAction Suspended Syllabus SymptomsHealthAspect
    Synagogue Table TakeAction TattooParlor Taxi TaxiReservation TaxiService TaxiStand TaxiVehicleUsage Taxon
    TechArticle TelevisionChannel TelevisionStation TennisComplex Terminated Text TextDigitalDocument TextObject
    TheaterEvent TheaterGroup Therapeutic TherapeuticProcedure Thesis Thing Throat Thursday Ticket TieAction
    TierBenefitEnumeration TierBenefitLoyaltyPoints TierBenefitLoyaltyPrice TierBenefitLoyaltyReturns
    TierBenefitLoyaltyShipping Time TipAction TireShop TobaccoNicotineConsideration TollFree TouristAttraction
    TouristDestination TouristInformationCenter TouristTrip Toxicologic ToyStore TrackAction TradeAction
    TraditionalChinese TrainedAlgorithmicMediaDigitalSource TrainReservation TrainStation TrainTrip TransferAction
    TransformedContent TransitMap TravelAction TravelAgency TreatmentIndication TreatmentsHealthAspect Trip
    TripleBlindedTrial True Tuesday TVClip TVEpisode TVSeason TVSeries TypeAndQuantityNode TypesHealthAspect
    UKNonprofitType UKTrust Ultrasound UnclassifiedAdultConsideration UnemploymentSupport
    UnincorporatedAssociationCharity UnitPriceSpecification UnofficialLegalValue UnRegisterAction UpdateAction URL
    Urologic UsageOrScheduleHealthAspect UseAction UsedCondition UserBlocks UserCheckins UserComments UserDownloads
    UserInteraction UserLikes UserPageVisits UserPlays UserPlusOnes UserReview UserTweets USNonprofitType
    VacationRental VeganDiet VegetarianDiet Vehicle Vein VenueMap Vessel VeterinaryCare VideoGallery VideoGame
    VideoGameClip VideoGameSeries VideoObject VideoObjectSnapshot ViewAction VinylFormat ViolenceConsideration
    VirtualLocation VirtualRecordingDigitalSource Virus VisualArtsEvent VisualArtwork VitalSign Volcano VoteAction
    WantAction WarrantyPromise WarrantyScope WatchAction Waterfall WeaponConsideration WearableMeasurementBack
    WearableMeasurementChestOrBust WearableMeasurementCollar WearableMeasurementCup WearableMeasurementHeight
    WearableMeasurementHips WearableMeasurementInseam WearableMeasurementLength WearableMeasurementOutsideLeg
    WearableMeasurementSleeve WearableMeasurementTypeEnumeration WearableMeasurementWaist WearableMeasurementWidth
    WearableSizeGroupBig WearableSizeGroupBoys WearableSizeGroupEnumeration WearableSizeGroupExtraShort
    WearableSizeGroupExtraTall WearableSizeGroupGirls WearableSizeGroupHusky WearableSizeGroupInfants
    WearableSizeGroupJuniors WearableSizeGroupMaternity WearableSizeGroupMens WearableSizeGroupMisses
    WearableSizeGroupPetite WearableSizeGroupPlus WearableSizeGroupRegular WearableSizeGroupShort
    WearableSizeGroupTall WearableSizeGroupWomens WearableSizeSystemAU WearableSizeSystemBR WearableSizeSystemCN
    WearableSizeSystemContinental WearableSizeSystemDE WearableSizeSystemEN13402 WearableSizeSystemEnumeration
    WearableSizeSystemEurope WearableSizeSystemFR WearableSizeSystemGS1 WearableSizeSystemIT WearableSizeSystemJP
    WearableSizeSystemMX WearableSizeSystemUK WearableSizeSystemUS WearAction WebAPI WebApplication WebContent WebPage
    WebPageElement WebSite Wednesday WesternConventional Wholesale WholesaleStore WinAction Winery Withdrawn
    WorkBasedProgram WorkersUnion WPAdBlock WPFooter WPHeader WPSideBar WriteAction WritePermission XPathType XRay
    ZoneBoardingPolicy Zoo
"""

_PROPERTIES: Final = """
    about abridged abstract accelerationTime acceptedAnswer acceptedOffer acceptedPaymentMethod acceptsReservations
    accessCode accessibilityAPI accessibilityControl accessibilityFeature accessibilityHazard accessibilitySummary
    accessMode accessModeSufficient accommodationCategory accommodationFloorPlan accountablePerson accountId
    accountMinimumInflow accountOverdraftLimit acquiredFrom acrissCode actionAccessibilityRequirement
    actionApplication actionOption actionPlatform actionStatus activeIngredient activityDuration activityFrequency
    actor actors additionalName additionalNumberOfGuests additionalProperty additionalType additionalVariable addOn
    address addressCountry addressLocality addressRegion administrationRoute advanceBookingRequirement adverseOutcome
    affectedBy affiliation agent agentInteractionStatistic aggregateRating aircraft album albumProductionType
    albumRelease albumReleaseType albums alcoholWarning algorithm alignmentType alternateName alternativeHeadline
    alternativeOf alumni alumniOf amenityFeature amount amountOfThisGood announcementLocation annualPercentageRate
    answerCount answerExplanation antagonist appearance applicableCountry applicableLocation
    applicantLocationRequirements application applicationCategory applicationContact applicationSubCategory
    applicationSuite appliesToDeliveryMethod appliesToPaymentMethod archiveHeld area areaServed arrivalAirport
    arrivalBoatTerminal arrivalBusStop arrivalGate arrivalPlatform arrivalStation arrivalTerminal arrivalTime
    artEdition arterialBranch artform articleBody articleSection artist artMedium artworkSurface asin aspect assembly
    assemblyVersion assesses associatedAnatomy associatedArticle associatedClaimReview associatedMedia
    associatedMediaReview associatedPathophysiology associatedReview athlete attendee attendees audience audienceType
    audio authenticator author availability availableAtOrFrom availableChannel availableDeliveryMethod availableFrom
    availableIn availableLanguage availableOnDevice availableService availableStrength availableTest availableThrough
    award awards awayTeam backstory bankAccountType baseSalary bccRecipient bed beneficiaryBank benefits bestRating
    billingAddress billingDuration billingIncrement billingPeriod billingStart bioChemInteraction bioChemSimilarity
    biologicalRole biomechnicalClass birthPlace bitrate blogPost blogPosts bloodSupply boardingGroup boardingPolicy
    bodyLocation bodyType bookEdition bookFormat bookingAgent bookingTime borrower box branch branchCode branchOf
    brand breadcrumb breastfeedingWarning broadcastAffiliateOf broadcastChannelId broadcastDisplayName broadcaster
    broadcastFrequency broadcastFrequencyValue broadcastOfEvent broadcastServiceTier broadcastSignalModulation
    broadcastSubChannel broadcastTimezone broker browserRequirements businessDays businessFunction busName busNumber
    buyer byArtist byDay byMonth byMonthDay byMonthWeek callSign calories candidate caption carbohydrateContent
    cargoVolume carrier carrierRequirements cashBack catalog catalogNumber category causeOf ccRecipient
    certificationIdentification certificationRating certificationStatus character characterAttribute characterName
    cheatCode checkinTime checkoutPageURLTemplate checkoutTime chemicalComposition chemicalRole childMaxAge
    childMinAge children childTaxon cholesterolContent circle citation claimInterpreter claimReviewed
    clincalPharmacology clinicalPharmacology clipNumber closes coach code codeSampleType codeValue codingSystem
    colleagues collection collectionSize color colorist comment commentCount commentText competencyRequired competitor
    composer comprisedOf conditionsOfAccess confirmationNumber connectedTo contactlessPayment contactOption
    contactPoint contactPoints contactType containedIn containedInPlace containsPlace containsSeason contentLocation
    contentRating contentReferenceTime contentSize contentType contraindication contributor cookingMethod cookTime
    copyrightHolder copyrightNotice copyrightYear correction costCategory costCurrency costOrigin costPerUnit
    countriesNotSupported countriesSupported countryOfAssembly countryOfLastProcessing countryOfOrigin course
    courseCode courseMode coursePrerequisites courseSchedule courseWorkload coverageEndTime coverageStartTime
    creativeWorkStatus creator credentialCategory creditedTo creditText cssSelector currenciesAccepted currency
    currentExchangeRate customer customerRemorseReturnFees customerRemorseReturnLabelSource
    customerRemorseReturnShippingFeesAmount cutoffTime cvdCollectionDate cvdFacilityCounty cvdFacilityId cvdNumBeds
    cvdNumBedsOcc cvdNumC19Died cvdNumC19HOPats cvdNumC19HospPats cvdNumC19MechVentPats cvdNumC19OFMechVentPats
    cvdNumC19OverflowPats cvdNumICUBeds cvdNumICUBedsOcc cvdNumTotBeds cvdNumVent cvdNumVentUse dataFeedElement
    dataset datasetTimeInterval dateline dateReceived dateSent dayOfWeek deathPlace defaultValue deliveryAddress
    deliveryLeadTime deliveryMethod deliveryStatus deliveryTime department departureAirport departureBoatTerminal
    departureBusStop departureGate departurePlatform departureStation departureTerminal departureTime dependencies
    depth description device diagnosis diagram diet dietFeatures differentialDiagnosis digitalSourceType directApply
    director directors disambiguatingDescription discount discountCode discountCurrency discusses distance
    distinguishingSign distribution doesNotShip domainIncludes domiciledMortgage doorTime dosageForm doseSchedule
    doseUnit doseValue downPayment downvoteCount drainsTo driveWheelConfiguration dropoffLocation dropoffTime drug
    drugClass drugUnit duns duplicateTherapy duration durationOfWarranty earlyPrepaymentPenalty editEIDR editor
    educationalAlignment educationalCredentialAwarded educationalFramework educationalLevel educationalProgramMode
    educationalRole educationalUse educationRequirements eduQuestionType elevation eligibilityToWorkRequirement
    eligibleCustomerType eligibleDuration eligibleQuantity eligibleRegion eligibleTransactionVolume email
    embeddedTextCaption emissionsCO2 employee employees employerOverview employmentType employmentUnit
    encodesBioChemEntity encodesCreativeWork encoding encodingFormat encodings encodingType endOffset endorsee
    endorsers endTime energyEfficiencyScaleMax energyEfficiencyScaleMin engineDisplacement enginePower engineType
    entertainmentBusiness epidemiology episode episodeNumber episodes equal error estimatedCost
    estimatedFlightDuration estimatedSalary estimatesRiskOf event eventAttendanceMode events eventSchedule eventStatus
    evidenceLevel evidenceOrigin exampleOfWork exchangeRateSpread executableLibraryName exerciseCourse exercisePlan
    exerciseRelatedDiet exerciseType exifData expectedPrognosis expectsAcceptanceOf experienceInPlaceOfEducation
    experienceRequirements expertConsiderations expressedIn familyName fatContent faxNumber featureList
    feesAndCommissionsSpecification fiberContent fileFormat fileSize financialAidEligible firstAppearance
    firstPerformance flightDistance flightNumber floorLevel floorLimit floorSize followee follows followup
    foodEstablishment foodEvent foodWarning founder founders foundingLocation free freeShippingThreshold frequency
    fromLocation fuelCapacity fuelConsumption fuelEfficiency fuelType functionalClass fundedItem funder funding game
    gameAvailabilityType gameEdition gameItem gamePlatform gameServer gameTip gender genre geo geoContains
    geoCoveredBy geoCovers geoCrosses geoDisjoint geoEquals geographicArea geoIntersects geoMidpoint geoOverlaps
    geoRadius geoTouches geoWithin givenName globalLocationNumber governmentBenefitsInfo gracePeriod grantee greater
    greaterOrEqual gtin gtin12 gtin13 gtin14 gtin8 guideline guidelineSubject handlingTime hasAdultConsideration
    hasBioChemEntityPart hasBioPolymerSequence hasBroadcastChannel hasCategoryCode hasCertification hasCourse
    hasCourseInstance hasCredential hasDefinedTerm hasDeliveryMethod hasDigitalDocumentPermission
    hasDriveThroughService hasEnergyConsumptionDetails hasEnergyEfficiencyCategory hasHealthAspect hasMeasurement
    hasMemberProgram hasMenu hasMenuItem hasMenuSection hasMerchantReturnPolicy hasOccupation hasOfferCatalog hasPart
    hasPOS hasProductReturnPolicy hasRepresentation hasTierBenefit hasTierRequirement hasTiers hasVariant headline
    healthcareReportingData healthCondition healthPlanCoinsuranceOption healthPlanCoinsuranceRate healthPlanCopay
    healthPlanCopayOption healthPlanCostSharing healthPlanDrugOption healthPlanDrugTier healthPlanId
    healthPlanNetworkId healthPlanNetworkTier healthPlanPharmacyCategory height highPrice hiringOrganization
    holdingArchive homeLocation homeTeam honorificPrefix honorificSuffix hospitalAffiliation hostingOrganization
    hoursAvailable howPerformed httpMethod iataCode icaoCode identifier identifyingExam identifyingTest illustrator
    imagingTechnique inAlbum inBroadcastLineup incentiveCompensation incentives inChI inChIKey includedComposition
    includedDataCatalog includedInDataCatalog includedInHealthInsurancePlan includedRiskFactor includesAttraction
    includesHealthPlanFormulary includesHealthPlanNetwork includesObject increasesRiskOf industry ineligibleRegion
    infectiousAgent infectiousAgentClass ingredients inker inLanguage inPlaylist inProductGroupWithID insertion
    inStoreReturnsOffered instructor instrument inSupportOf intensity interactingDrug interactionCount
    interactionService interactionStatistic interactionType interactivityType interestRate interpretedAsClaim
    inventoryLevel inverseOf isAcceptingNewPatients isAccessibleForFree isAccessoryOrSparePartFor
    isAvailableGenerically isbn isConsumableFor isEncodedByBioChemEntity isFamilyFriendly isGift isicV4
    isLiveBroadcast iso6523Code isPartOfBioChemEntity isPlanForApartment isProprietary isrcCode isRelatedTo
    isResizable isSimilarTo issn issuedBy issuedThrough issueNumber isTierOf isUnlabelledFallback isVariantOf iswcCode
    item itemCondition itemDefectReturnFees itemDefectReturnLabelSource itemDefectReturnShippingFeesAmount
    itemListElement itemListOrder itemLocation itemOffered itemReviewed itemShipped itinerary iupacName jobBenefits
    jobImmediateStart jobLocation jobLocationType jobStartDate jobTitle jurisdiction keywords knownVehicleDamages
    knows knowsAbout knowsLanguage landlord language latitude learningResourceType leaseLength legalName legalStatus
    legislationApplies legislationChanges legislationConsolidates legislationIdentifier legislationJurisdiction
    legislationLegalForce legislationLegalValue legislationPassedBy legislationResponsible legislationTransposes
    legislationType leiCode lender lesser lesserOrEqual letterer line linkRelationship liveBlogUpdate
    loanMortgageMandateAmount loanPaymentAmount loanPaymentFrequency loanRepaymentForm loanTerm loanType location
    locationCreated lodgingUnitDescription lodgingUnitType longitude loser lowPrice lyricist lyrics mainContentOfPage
    mainEntity maintainer makesOffer manufacturer mapType marginOfError material materialExtent mathExpression
    maximumAttendeeCapacity maximumEnrollment maximumIntake maximumPhysicalAttendeeCapacity
    maximumVirtualAttendeeCapacity maxPrice maxValue mealService measuredProperty measurementDenominator
    measurementMethod measurementQualifier measurementTechnique mechanismOfAction mediaAuthenticityCategory
    mediaItemAppearance median medicalAudience medicalSpecialty medicineSystem meetsEmissionStandard member memberOf
    members membershipNumber membershipPointsEarned memoryRequirements mentions menu menuAddOn merchant
    messageAttachment mileageFromOdometer minimumPaymentDue minPrice minValue mobileUrl model modifiedTime
    molecularFormula molecularWeight monoisotopicMolecularWeight monthlyMinimumRepaymentAmount monthsOfExperience mpn
    multipleValues muscleAction musicalKey musicArrangement musicBy musicCompositionForm musicGroupMember
    musicReleaseFormat naics name namedPosition nationality naturalProgression negativeNotes nerve nerveMotor netWorth
    nextItem nonEqual nonprofitStatus nonProprietaryName normalRange nsn numAdults numberedPosition
    numberOfAccommodationUnits numberOfAirbags numberOfAvailableAccommodationUnits numberOfAxles
    numberOfBathroomsTotal numberOfBedrooms numberOfBeds numberOfCredits numberOfDoors numberOfEmployees
    numberOfEpisodes numberOfForwardGears numberOfFullBathrooms numberOfItems numberOfLoanPayments numberOfPages
    numberOfPartialBathrooms numberOfPlayers numberOfPreviousOwners numberOfRooms numberOfSeasons numChildren
    numConstraints numTracks nutrition object observationAbout observationDate observationPeriod occupancy
    occupationalCategory occupationalCredentialAwarded occupationLocation offerCount offeredBy offers
    offersPrescriptionByMail openingHours openingHoursSpecification opens operatingSystem opponent option
    orderDelivery orderedItem orderItemNumber orderItemStatus orderNumber orderQuantity orderStatus organizer
    originAddress originalMediaContextDescription originatesFrom overdosage ownedFrom ownedThrough
    ownershipFundingInfo owns pageEnd pageStart pagination parent parentItem parentOrganization parents parentService
    parentTaxon participant partOfEpisode partOfInvoice partOfOrder partOfSeason partOfSeries partOfSystem partOfTrip
    partOfTVSeries partySize passengerPriorityStatus passengerSequenceNumber pathophysiology pattern payload
    paymentAccepted paymentDue paymentMethod paymentMethodId paymentMethodType paymentStatus penciler percentile10
    percentile25 percentile75 percentile90 performer performerIn performers performTime permissions permissionType
    permitAudience permittedUsage petsAllowed phoneticText photo photos physicalRequirement physiologicalBenefits
    pickupLocation pickupTime playersOnline playerType playMode polygon populationType position positiveNotes
    possibleComplication possibleTreatment postalCode postalCodeBegin postalCodeEnd postalCodePrefix postalCodeRange
    postOfficeBoxNumber postOp potentialAction potentialUse practicesAt predecessorOf pregnancyCategory
    pregnancyWarning preOp preparation prepTime prescriptionStatus previousItem price priceComponent
    priceComponentType priceCurrency priceRange priceSpecification priceType primaryImageOfPage primaryPrevention
    printColumn printEdition printPage printSection procedure procedureType processingTime processorRequirements
    producer produces productGroupID productID productionCompany productReturnDays productSupported proficiencyLevel
    program programMembershipUsed programmingLanguage programmingModel programName programPrerequisites programType
    propertyID proprietaryName proteinContent provider providerMobility providesBroadcastService providesService
    publicAccess publication publicationType publishedBy publishedOn publisher publisherImprint qualifications query
    quest question rangeIncludes ratingCount ratingExplanation ratingValue readBy readonlyValue realEstateAgent recipe
    recipeCategory recipeCuisine recipeIngredient recipeInstructions recipeYield recipient recognizedBy
    recognizingAuthority recommendationStrength recommendedIntake recordedAs recordedAt recordedIn recordingOf
    recordLabel recourseLoan referenceQuantity referencesOrder refundType regionDrained regionsAllowed relatedAnatomy
    relatedCondition relatedDrug relatedStructure relatedTherapy relatedTo releasedEvent releaseNotes releaseOf
    relevantOccupation relevantSpecialty remainingAttendeeCapacity renegotiableLoan repeatCount repeatFrequency
    repetitions replacee replacer reportNumber representativeOfPage requiredCollateral requiredGender requiredMaxAge
    requiredMinAge requiredQuantity requirements requiresSubscription reservationFor reservationId reservationStatus
    reservedTicket responsibilities restockingFee restPeriods result resultComment resultReview returnFees
    returnLabelSource returnMethod returnPolicyCategory returnPolicyCountry returnPolicySeasonalOverride
    returnShippingFeesAmount review reviewAspect reviewBody reviewCount reviewedBy reviewRating reviews riskFactor
    risks roleName roofLoad rsvpResponse runsTo runtime runtimePlatform rxcui safetyConsideration salaryCurrency
    salaryUponCompletion sampleType saturatedFatContent scheduleTimezone schemaVersion screenCount sdPublisher
    seasonNumber seasons seatingCapacity seatingType seatNumber seatRow seatSection secondaryPrevention
    securityClearanceRequirement securityScreening seeks seller sender sensoryRequirement sensoryUnit serialNumber
    seriousAdverseOutcome serverStatus servesCuisine serviceArea serviceAudience serviceLocation serviceOperator
    serviceOutput servicePhone servicePostalAddress serviceSmsNumber serviceType servingSize sha256 sharedContent
    shippingDestination shippingDetails shippingLabel shippingOrigin shippingRate sibling siblings signDetected
    significance signOrSymptom size sizeGroup sizeSystem skills sku slogan smiles smokingAllowed sodiumContent
    softwareAddOn softwareHelp softwareRequirements softwareVersion sourcedFrom sourceOrganization spatial
    spatialCoverage specialCommitments specialOpeningHoursSpecification specialty speechToTextMarkup speed
    spokenByCharacter sponsor sport sportsActivityLocation sportsEvent sportsTeam spouse stage stageAsNumber
    starRating startOffset startTime statType status steeringPosition step steps stepValue storageRequirements
    streetAddress strengthUnit strengthValue structuralClass study studyDesign studyLocation studySubject
    stupidProperty subEvent subEvents subjectOf subOrganization subReservation subStageSuffix subStructure subTest
    subtitleLanguage subTrip successorOf sugarContent suggestedAge suggestedAnswer suggestedGender suggestedMaxAge
    suggestedMeasurement suggestedMinAge suitableForDiet superEvent supersededBy supply supplyTo supportingData
    surface syllabusSections targetCollection targetDescription targetName targetPlatform targetPopulation
    targetProduct taxID taxonomicRange taxonRank teaches telephone temporal temporalCoverage termCode termDuration
    termsOfService termsPerYear text textValue thumbnail tickerSymbol ticketedSeat ticketNumber ticketToken timeOfDay
    timeRequired timeToComplete tissueSample title titleEIDR tocContinuation tocEntry toLocation tongueWeight tool
    toRecipient torque totalHistoricalEnrollment totalJobOpenings totalPaymentDue totalPrice totalTime touristType
    track trackingNumber tracks trailer trailerWeight trainingSalary trainName trainNumber transcript transFatContent
    transitTime transitTimeLabel translationOfWork translator transmissionMethod trialDesign tributary tripOrigin
    typeOfBed typeOfGood typicalAgeRange typicalCreditsPerTerm typicalTest underName unitCode unitText
    unsaturatedFatContent upvoteCount urlTemplate usedToDiagnose userInteractionCount usesDevice
    usesHealthPlanIdStandard usNPI utterances validFor validForMemberTier validIn value valueAddedTaxIncluded
    valueMaxLength valueMinLength valueName valuePattern valueReference valueRequired variableMeasured
    variablesMeasured variantCover variesBy vatID vehicleConfiguration vehicleEngine vehicleIdentificationNumber
    vehicleInteriorColor vehicleInteriorType vehicleSeatingCapacity vehicleSpecialUsage vehicleTransmission vendor
    version video videoFormat videoFrameSize videoQuality volumeNumber warning warranty warrantyPromise warrantyScope
    webCheckinTime weight weightTotal wheelbase width winner wordCount workExample workFeatured workHours workload
    workLocation workPerformed workPresented worksFor workTranslation worstRating xpath yearBuilt yearlyRevenue
    yearsInOperation yield
"""

_REFERENCES: Final = """
    acquireLicensePage actionableFeedbackPolicy afterMedia archivedAt associatedDisease beforeMedia benefitsSummaryUrl
    codeRepository colleague colorSwatch constraintProperty contentUrl correctionsPolicy discussionUrl
    diseasePreventionInfo diseaseSpreadStatistics diversityPolicy diversityStaffingReport documentation downloadUrl
    duringMedia embedUrl ethicsPolicy gameLocation gettingTestedInfo hasGS1DigitalLink hasMap hasMolecularFunction
    healthPlanMarketingUrl image inCodeSet inDefinedTermSet installUrl isBasedOn isBasedOnUrl
    isInvolvedInBiologicalProcess isLocatedInSubcellularLocation isPartOf labelDetails layoutImage license logo
    mainEntityOfPage map maps masthead merchantReturnLink missionCoveragePrioritiesPolicy newsUpdatesAndGuidelines
    noBylinesPolicy originalMediaLink paymentUrl prescribingInfo productReturnLink publicTransportClosuresInfo
    publishingPrinciples quarantineGuidelines relatedLink replyToUrl sameAs schoolClosuresInfo screenshot sdLicense
    season serviceUrl shippingSettingsLink significantLink significantLinks speakable target targetUrl thumbnailUrl
    tourBookingPage trackingUrl travelBans unnamedSourcesPolicy url usageInfo verificationFactCheckingPolicy webFeed
"""

_DATES: Final = """
    applicationDeadline applicationStartDate auditDate availabilityEnds availabilityStarts birthDate commentTime
    dateCreated dateDeleted dateIssued dateModified datePosted datePublished dateRead dateVehicleFirstRegistered
    deathDate dissolutionDate endDate exceptDate expectedArrivalFrom expectedArrivalUntil expires foundingDate
    guidelineDate lastReviewed legislationDate legislationDateVersion merchantReturnDays modelDate orderDate
    paymentDueDate previousStartDate priceValidUntil productionDate purchaseDate releaseDate scheduledPaymentDate
    scheduledTime sdDatePublished startDate uploadDate validFrom validThrough validUntil vehicleModelDate
"""


@cache
def schema_org() -> Definitions:
    """Return the context that schema.org serves."""
    return context(
        {"@vocab": "http://schema.org/"},
        keywords("id type"),
        prefixes(
            csvw="http://www.w3.org/ns/csvw#",
            dc="http://purl.org/dc/elements/1.1/",
            dcat="http://www.w3.org/ns/dcat#",
            dcmitype="http://purl.org/dc/dcmitype/",
            dcterms="http://purl.org/dc/terms/",
            dcam="http://purl.org/dc/dcam/",
            doap="http://usefulinc.com/ns/doap#",
            foaf="http://xmlns.com/foaf/0.1/",
            odrl="http://www.w3.org/ns/odrl/2/",
            org="http://www.w3.org/ns/org#",
            owl="http://www.w3.org/2002/07/owl#",
            prof="http://www.w3.org/ns/dx/prof/",
            prov="http://www.w3.org/ns/prov#",
            qb="http://purl.org/linked-data/cube#",
            rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#",
            rdfs="http://www.w3.org/2000/01/rdf-schema#",
            schema="http://schema.org/",
            sh="http://www.w3.org/ns/shacl#",
            skos="http://www.w3.org/2004/02/skos/core#",
            sosa="http://www.w3.org/ns/sosa/",
            ssn="http://www.w3.org/ns/ssn/",
            time="http://www.w3.org/2006/time#",
            vann="http://purl.org/vocab/vann/",
            void="http://rdfs.org/ns/void#",
            xsd="http://www.w3.org/2001/XMLSchema#",
            xml="http://www.w3.org/XML/1998/namespace",
            dct="http://purl.org/dc/terms/",
            dctype="http://purl.org/dc/dcmitype/",
        ),
        terms("rdf", "HTML"),
        terms("schema", _TYPES),
        terms("schema", _PROPERTIES),
        terms("schema", _REFERENCES, type_="@id"),
        terms("schema", _DATES, type_="Date"),
    )
